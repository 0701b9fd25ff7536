"""The teacher's embedding and its soft labels, both for a throw-away embedding of the student."""

from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from losses.embedding_mse import EmbeddingMSE
from losses.matching import of_teacher
from losses.soft_targets import Temperature, soft_divergence


class EmbeddingLabels(EmbeddingMSE):
    """`embedding_mse`, and a classifier of its own on what the throw-away layer gives, which learns the teacher's soft labels:
    the first two of the four terms of the NTU teacher-student system. The other two are `soft_targets` with temperature 1 and
    weight 0.5, and `softmax` without smoothing.

    labels: factor on the second part. temperature: of the soft labels, as in `soft_targets`.
    projection: as in `embedding_mse`. The layer and the classifier are needed for training only and never ship.
    """

    def __init__(
        self,
        embedding_size: int,
        teacher_size: int,
        identities: int,
        projection: bool = False,
        labels: NonNegativeFloat = 1.0,
        temperature: Temperature = 1.0,
    ):
        super().__init__(embedding_size, teacher_size, projection)
        self.classifier = nn.Linear(teacher_size, identities)
        self.labels = labels
        self.temperature = temperature

    def forward(  # type: ignore[override]  # it asks for more
        self, embeddings: Tensor, teacher_embeddings: Tensor, teacher_logits: Tensor
    ) -> dict[str, Tensor]:
        """embeddings [B, D], teacher_embeddings [B, Dt], teacher_logits [B, identities]"""
        projected = self.projection(embeddings)
        divergence = soft_divergence(self.classifier(projected), teacher_logits, self.temperature)
        return {
            "mse": functional.mse_loss(projected, of_teacher(teacher_embeddings)),
            "labels": self.labels * divergence,
        }
