"""One self-contained HTML page of an evaluation: what was measured, on what, and every case to look at."""
