"""Heads: maps of a backbone [B, C, h, w] -> embeddings [B, D]. One head per file."""

from common.registry import Registry
from models.heads.depthwise import Depthwise
from models.heads.flatten import Flatten
from models.heads.pool import Pool

HEADS = Registry("head", {"depthwise": Depthwise, "flatten": Flatten, "pool": Pool})
