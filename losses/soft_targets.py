"""Soft targets: the student's probabilities of the training identities should be the teacher's."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from losses.cosine_classifier import at_least_float32
from losses.matching import of_teacher

Temperature = Annotated[float, Field(ge=0.01, le=1000.0)]
"""What logits are divided by ahead of a softmax."""


class SoftTargets(nn.Module):
    """Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531: T^2 times the divergence
    KL(softmax(teacher's logits / T) || softmax(student's logits / T)), averaged over the batch.

    The student's logits are those of the one loss term that has a classifier, without a margin; those of a head over cosines
    are the cosines times its scale.
    temperature: T; FaceX-Zoo has 4, the NTU teacher-student system 1 and the weight 0.5. NTU's cross-entropy is this plus the
        entropy of the teacher's labels, which has no gradient.
    """

    def __init__(self, temperature: Temperature = 4.0):
        super().__init__()
        self.temperature = temperature

    def forward(self, scaled_logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """scaled_logits, teacher_logits: [B, identities] -> scalar, at least 0."""
        return soft_divergence(scaled_logits, teacher_logits, self.temperature)


def soft_divergence(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(logits / T)) of logits [B, C], the batch mean; the factor T^2 keeps gradients
    about as large at any temperature."""
    student = functional.log_softmax(at_least_float32(logits) / temperature, dim=1)
    teacher = functional.log_softmax(of_teacher(teacher_logits) / temperature, dim=1)
    return temperature**2 * functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
