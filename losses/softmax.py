"""Identity softmax: closed-set classification of the training people."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from common.ranges import Share


class Softmax(nn.Module):
    """Cross-entropy over the training identities, with label smoothing (Szegedy et al., arXiv 1512.00567).

    norm: where a BatchNorm stands.
        logits: after the linear layer, over the identities, as in the original Triarchy. A batch of few identities bounds
            what such logits can say: an identity with one eighth of the batch cannot rise above 2.6 standard deviations.
        embedding: before a linear layer without bias: the BNNeck of Luo et al., "Bag of Tricks and a Strong Baseline for
            Deep Person Re-identification", CVPRW 2019. Its shift stays 0, so that people part by direction.
        none: nowhere.
    mining: [threshold, factor], hard instance mining of the NTU teacher-student system, there [0.7, 0.7]: a cross-entropy
        below threshold times the batch's largest is multiplied by factor, so that easy images count less. None: all count
        alike.

    All of it is needed for training only and never ships.
    """

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1,
        norm: Literal["logits", "embedding", "none"] = "logits",
        mining: tuple[Share, Share] | None = None,
    ):
        super().__init__()
        self.neck = nn.BatchNorm1d(embedding_size) if norm == "embedding" else nn.Identity()
        self.classifier = nn.Linear(embedding_size, identities, bias=norm != "embedding")
        self.norm = nn.BatchNorm1d(identities) if norm == "logits" else nn.Identity()
        self.smoothing = smoothing
        self.mining = mining
        if norm == "embedding":
            self.neck.bias.requires_grad_(False)
            nn.init.normal_(self.classifier.weight, std=0.01)  # nearly even at first, whatever the length of an embedding

    def logits(self, embeddings: Tensor) -> Tensor:
        """embeddings [B, D] float32 -> [B, identities]"""
        return self.norm(self.classifier(self.neck(embeddings)))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits [B, identities] float32, labels [B] int64 -> scalar, the batch mean."""
        if self.mining is None:
            return functional.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        threshold, factor = self.mining
        losses = functional.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="none")  # [B]
        return torch.where(losses < threshold * losses.max(), factor * losses, losses).mean()
