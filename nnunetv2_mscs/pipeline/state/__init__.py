"""What a run has on disk: its folder, a record a stage, signatures of files."""
