"""Pixels: photographs decoded, cut to the face and kept, in one way for training, evaluation and serving."""
