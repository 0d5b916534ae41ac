"""What strings commands together: starting them, showing their progress, one run in a folder at a time."""
