"""Hat: the top of the image covered."""

from datasets.batches.augment.band import Band


class Hat(Band):
    """Paints the top 15 to 33 % of the image in one random colour with `probability` (0 to 1): hair is not identity."""

    heights = (0.15, 0.33)
    at_the_top = True
