"""Pictures of scans and masks."""
