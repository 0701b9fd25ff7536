"""Several processes that train as one, and the memory of each."""
