"""Tries the promises on real processes: jobs write to a witness file that is none of ours, and everything is killed."""
