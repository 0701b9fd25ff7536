"""Masks laid on photographs of faces: where the face is, by its landmarks, and what the mask looks like, drawn by code."""

from datasets.masks.look import Look, draw_look
from datasets.masks.wear import wear

__all__ = ["Look", "draw_look", "wear"]
