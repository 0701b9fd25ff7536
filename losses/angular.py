"""Angular distillation: the student's embedding should have the direction of the teacher's."""

from torch import Tensor

from losses.template import Template


class Angular(Template):
    """Yan et al., "VarGFaceNet: An Efficient Variable Group Convolutional Neural Network for Lightweight Face Recognition",
    ICCV Workshops 2019, arXiv 1910.04985: the squared distance between the unit embeddings of student and teacher, which is
    2 - 2 cosine, averaged over the batch. It is `template` without the division by the dimensions, and has its options.

    VarGFaceNet has the weight 7.
    """

    def forward(self, embeddings: Tensor, teacher_embeddings: Tensor) -> Tensor:
        """embeddings [B, D], teacher_embeddings [B, Dt] -> scalar, 0 to 4."""
        return self.squared_distances(embeddings, teacher_embeddings).mean()
