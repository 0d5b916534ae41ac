"""Where work is done: worker processes, hidden places for unfinished results, files that are whole or not there."""
