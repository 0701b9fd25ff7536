"""A studio for tests: flat colours in place of faces, told by who is photographed how. It can be sent to other processes."""

import time
import zlib

import numpy as np

from common.errors import InputError


class FlatStudio:
    """Photographs of one colour, a pure function of seed, person and shot."""

    def __init__(self, seed: int, image_size: int):
        self.seed, self.side = seed, image_size

    def photograph(self, person: int, shot) -> np.ndarray:
        colour = zlib.crc32(f"{self.seed} {person} {shot}".encode()).to_bytes(4, "big")[:3]
        return np.full((self.side, self.side, 3), list(colour), dtype=np.uint8)


class SlowStudio(FlatStudio):
    """One that can be interrupted in time, however busy the machine: after some photographs it takes its time."""

    taken = 0

    def photograph(self, person: int, shot) -> np.ndarray:
        self.taken += 1
        time.sleep(0.01 if self.taken <= 12 else 1.0)
        return super().photograph(person, shot)


class ClosedStudio:
    """One whose packages are not installed."""

    def __init__(self, seed: int, image_size: int):
        raise InputError("the studio is closed")


class FullDiskStudio(FlatStudio):
    """One that fails at the eleventh photograph as a full disk does."""

    taken = 0

    def photograph(self, person: int, shot) -> np.ndarray:
        self.taken += 1
        if self.taken > 10:
            raise OSError(28, "No space left on device", "somewhere")
        return super().photograph(person, shot)


class DyingStudio(FlatStudio):
    """One whose process is killed at the eleventh photograph, as for lack of memory."""

    taken = 0

    def photograph(self, person: int, shot) -> np.ndarray:
        import os
        import signal

        self.taken += 1
        if self.taken > 10:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().photograph(person, shot)
