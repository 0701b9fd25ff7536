"""Within-class whitening, folded into the head's last layers: the shipped network keeps its shape and its size."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor, nn

from models.embedder import Embedder
from models.heads.head import Head

SHRINKAGE = 0.1  # of the largest variance, added to all: directions that hardly vary must not decide


@torch.no_grad()
def whitened(embedder: Embedder, embeddings: Tensor, labels: Sequence[int]) -> Embedder:
    """A copy of `embedder` whose embeddings vary alike in all directions among the images of one person.

    Within-class covariance normalisation (Hatch, Kajarekar and Stolcke, "Within-Class Covariance Normalization for
    SVM-Based Speaker Recognition", Interspeech 2006): the directions in which a person's own photographs differ, by angle
    or light, count less when two embeddings are compared. The copy gives (x - mean) @ whitening for the embedding x.

    embeddings: float32 [N, D], what `embedder` makes of training images; labels: the N identities. Raises ValueError if no
    identity has two images.
    """
    whitening = within_class_whitening(embeddings.double(), labels)  # [D, D], symmetric
    mean = embeddings.double().mean(dim=0)
    copy = deepcopy(embedder)
    weight, bias = last_map(copy.head)
    set_last_map(copy.head, whitening @ weight, (bias - mean) @ whitening)
    return copy


def last_map(head: Head) -> tuple[Tensor, Tensor]:
    """Weight [D, F] and bias [D], float64, of all that follows the head's features in evaluation mode."""
    linear, norm = head.linear, head.norm
    weight = linear.weight.double()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.double()
    if isinstance(norm, nn.Identity):
        return weight, bias
    scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
    return weight * scale[:, None], (bias - norm.running_mean.double()) * scale + norm.bias.double()


def set_last_map(head: Head, weight: Tensor, bias: Tensor) -> None:
    """Make `weight` and `bias` what `last_map` returns: the linear layer takes them, and a BatchNorm after it is left as one
    that does nothing, but for adding the bias where the linear layer has none."""
    linear, norm = head.linear, head.norm
    linear.weight.copy_(weight)
    if not isinstance(norm, nn.Identity):
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
        norm.weight.fill_(1)
        norm.bias.copy_(bias if linear.bias is None else torch.zeros_like(bias))
    if linear.bias is not None:
        linear.bias.copy_(bias)


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
