"""A scheduler in a cluster, as manifests: what ``klassd manifest`` prints. Pure; nothing here talks to a cluster."""
