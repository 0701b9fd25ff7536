"""Heads: maps of a backbone [B, C, h, w] -> embeddings [B, D]."""
