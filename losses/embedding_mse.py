"""Mean squared error between the embeddings of student and teacher."""

from torch import Tensor, nn
from torch.nn import functional

from losses.matching import Projection, of_teacher


class EmbeddingMSE(nn.Module):
    """The squared difference between what a throw-away linear layer makes of the student's embedding and the teacher's
    embedding, averaged over the batch and the teacher's dimensions, as in the NTU teacher-student system, there from 128 to
    1792 dimensions. Lengths count, as they do not in `template`.

    projection: have the layer even where student and teacher have equally many dimensions.
    """

    def __init__(self, embedding_size: int, teacher_size: int, projection: bool = False):
        super().__init__()
        self.projection = Projection(embedding_size, teacher_size, projection)

    def forward(self, embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
        """embeddings [B, D], teacher_embeddings [B, Dt] -> scalar."""
        return functional.mse_loss(self.projection(embeddings), of_teacher(teacher_embeddings))
