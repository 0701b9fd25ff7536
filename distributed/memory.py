"""Memory that one batch frees and the next takes again."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Tell glibc to keep what this process frees in place of returning it to the system, which hands it out anew page by
    page, each cleared: with large batches that is a good part of a training step and half of the time to embed large images.
    Under any other C library nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)  # large blocks come from the heap, too
        mallopt(M_TRIM_THRESHOLD, -1)  # whose end is never given back
