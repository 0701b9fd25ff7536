"""Masks laid on photographs of faces: where the face is, by its landmarks, and what the mask looks like, drawn by code."""

from datasets.masks.face import KNOWN, can_wear
from datasets.masks.look import Look, draw_look
from datasets.masks.wear import wear

__all__ = ["KNOWN", "Look", "can_wear", "draw_look", "wear"]
