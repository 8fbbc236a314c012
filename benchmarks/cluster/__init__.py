"""What the engine costs on a Kubernetes cluster, beside the cluster's own API: ``make bench-cluster``."""
