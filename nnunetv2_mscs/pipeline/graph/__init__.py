"""What a run is made of: its settings, and the graph of its stages."""
