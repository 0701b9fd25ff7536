"""Value noise: random numbers on a lattice, smoothly interpolated. Blotches, freckles and strands are made of it."""

import numpy as np

SIDE = 64  # of the lattice, which repeats; a power of two


class Noise:
    """A noise field of its own for every seed."""

    def __init__(self, seed: int):
        self.lattice = np.random.default_rng(seed).random(SIDE**3, dtype=np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """points [N, 3] in units of the lattice -> float32 [N] in 0 to 1."""
        floor = np.floor(points)
        share = (points - floor).astype(np.float32)
        share = share * share * (3 - 2 * share)
        low = floor.astype(np.int32) & (SIDE - 1)
        high = (low + 1) & (SIDE - 1)
        total = np.zeros(len(points), np.float32)
        for x, wx in ((low[:, 0], 1 - share[:, 0]), (high[:, 0], share[:, 0])):
            for y, wy in ((low[:, 1], 1 - share[:, 1]), (high[:, 1], share[:, 1])):
                row, weight = (x * SIDE + y) * SIDE, wx * wy
                total += weight * (
                    self.lattice[row + low[:, 2]] * (1 - share[:, 2]) + self.lattice[row + high[:, 2]] * share[:, 2]
                )
        return total


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, value: float | np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a smooth S between; with low > high it falls."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)
