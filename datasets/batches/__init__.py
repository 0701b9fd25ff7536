"""Training batches: which photographs, changed how, loaded by whom."""
