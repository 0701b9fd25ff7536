"""Template distillation: the student's unit embedding should be the teacher's."""

from torch import Tensor, nn

from losses.matching import Projection, of_teacher, unit_rows


class Template(nn.Module):
    """Boutros et al., "PocketNet: Extreme Lightweight Face Recognition Network Using Neural Architecture Search and Multistep
    Knowledge Distillation", IEEE Access 2022, arXiv 2108.10710: the mean squared difference between the embeddings of student
    and teacher, each of unit length, over the batch and the D dimensions.

    PocketNet has the weight 100, which makes 100 / D of the squared distance; unrelated embeddings of 128 dimensions then
    stand at 100 * 2 / 128 = 1.56.
    projection: compare what a linear layer, trained for this alone, makes of the student's embedding; where student and
        teacher have different numbers of dimensions there always is one.
    """

    def __init__(self, embedding_size: int, teacher_size: int, projection: bool = False):
        super().__init__()
        self.projection = Projection(embedding_size, teacher_size, projection)

    def forward(self, embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
        """embeddings [B, D], teacher_embeddings [B, Dt] -> scalar, 0 to 4 / Dt."""
        return self.squared_distances(embeddings, teacher_embeddings).mean() / teacher_embeddings.shape[1]

    def squared_distances(self, embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
        """Between the unit embeddings, [B]: 2 - 2 cosine."""
        difference = unit_rows(self.projection(embeddings)) - unit_rows(of_teacher(teacher_embeddings))
        return difference.square().sum(dim=1)
