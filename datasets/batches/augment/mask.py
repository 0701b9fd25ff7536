"""Mask: the bottom of the image covered."""

from datasets.batches.augment.band import Band


class Mask(Band):
    """Paints the bottom 30 to 45 % of the image in one random colour with `probability` (0 to 1): mouth and chin are hidden
    as by a mask."""

    heights = (0.3, 0.45)
    at_the_top = False
