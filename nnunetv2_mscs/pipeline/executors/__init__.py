"""What carries stages out: on this machine, or on a cluster."""
