"""From files to tables, from tables to pixels, from pixels to batches."""

from datasets.readers import READERS, Reader

__all__ = ["READERS", "Reader"]
