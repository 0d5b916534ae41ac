"""How work is done on a machine: commands, locks, leftovers, worker processes, whole files and folders, devices."""
