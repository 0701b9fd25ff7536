"""Networks and training methods compared on equal terms: the same photographs, pairs, budget and seeds."""
