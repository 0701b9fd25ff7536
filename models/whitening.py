"""Within-class whitening, folded into the embedding layer: the shipped network keeps its shape and its size."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from models.embedder import Embedder

SHRINKAGE = 0.1  # of the largest variance, added to all: directions that hardly vary must not decide


@torch.no_grad()
def whitened(embedder: Embedder, embeddings: Tensor, labels: Sequence[int]) -> Embedder:
    """A copy of `embedder` whose embeddings vary alike in all directions among the images of one person.

    Within-class covariance normalisation (Hatch, Kajarekar and Stolcke, "Within-Class Covariance Normalization for
    SVM-Based Speaker Recognition", Interspeech 2006): the directions in which a person's own photographs differ, by angle
    or light, count less when two embeddings are compared. The copy gives (x - mean) @ whitening for the embedding x.

    embeddings: float32 [N, D], what `embedder` makes of training images; labels: the N identities. Raises ValueError if
    the embedding layer is not the embedder's last, or if no identity has two images.
    """
    if not isinstance(embedder.norm, torch.nn.Identity):
        raise ValueError("a BatchNorm follows the embedding layer, which therefore cannot take up the whitening")
    whitening = within_class_whitening(embeddings.double(), labels)  # [D, D], symmetric
    mean = embeddings.double().mean(dim=0)
    copy = deepcopy(embedder)
    layer = copy.embedding
    layer.bias.copy_((layer.bias.double() - mean) @ whitening)
    layer.weight.copy_(whitening @ layer.weight.double())
    return copy


def within_class_whitening(embeddings: Tensor, labels: Sequence[int]) -> Tensor:
    """The symmetric inverse square root, [D, D], of the shrunk covariance of embeddings [N, D] around their identity's mean."""
    _, classes, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if counts.max() < 2:
        raise ValueError("no identity has two images, so nothing tells how the images of one person differ")
    classes = torch.from_numpy(classes).to(embeddings.device)
    sums = embeddings.new_zeros(len(counts), embeddings.shape[1]).index_add_(0, classes, embeddings)
    means = sums / torch.from_numpy(counts).to(embeddings)[:, None]
    apart = embeddings - means[classes]
    variances, directions = torch.linalg.eigh(apart.T @ apart / (len(embeddings) - len(counts)))
    scale = (variances.clamp(min=0) + SHRINKAGE * variances[-1]).rsqrt()  # ascending, so the last is the largest
    return directions * scale @ directions.T
