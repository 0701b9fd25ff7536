"""Identity softmax: closed-set classification of the training people."""

from torch import Tensor, nn
from torch.nn import functional


class Softmax(nn.Module):
    """Cross-entropy over the training identities, with label smoothing (Szegedy et al., arXiv 1512.00567).

    Logits are a linear layer on the embedding and, as in the original Triarchy, a BatchNorm over the identities. Both
    are needed for training only and never ship.
    """

    def __init__(self, embedding_size: int, identities: int, smoothing: float = 0.1, norm: bool = True):
        super().__init__()
        if not 0.0 <= smoothing < 1.0:
            raise ValueError(f"smoothing is {smoothing}; it should be at least 0 and below 1")
        self.classifier = nn.Linear(embedding_size, identities)
        self.norm = nn.BatchNorm1d(identities) if norm else nn.Identity()
        self.smoothing = smoothing

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """embeddings [B, D] float32, labels [B] int64 -> scalar, the batch mean."""
        logits = self.norm(self.classifier(embeddings))  # [B, identities]
        return functional.cross_entropy(logits, labels, label_smoothing=self.smoothing)
