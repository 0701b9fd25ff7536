"""Factor transfer: the student's maps, translated, should be the teacher's, paraphrased."""

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from common.ranges import Share
from losses.cosine_classifier import at_least_float32
from losses.matching import of_one_size, of_teacher, unit_rows


class FactorTransfer(nn.Module):
    """Kim, Park and Kwak, "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018,
    arXiv 1802.04977.

    The paraphraser, an autoencoder of convolutions on the teacher's maps, learns to reproduce them from fewer channels, the
    factor; the translator, three convolutions on the student's maps, learns to say the same. Two parts, each averaged over
    the pairs of maps:

    transfer: the mean absolute difference between the two factors, each image's of unit length, as in FaceX-Zoo; the
        teacher's factor is constant. The option of this name is the factor on the part, which is small, as a unit vector of N
        elements has elements of 1 / sqrt(N); FaceX-Zoo's is 1.
    paraphraser: the mean squared error of reproducing the teacher's maps, which the student has no part in.

    The paper trains the paraphraser beforehand; here it learns along, so that a training is one command.
    rate: share of the teacher's channels that the factor has.
    All of it is needed for training only and never ships.
    """

    def __init__(self, map_channels: list[tuple[int, int]], rate: Share = 0.5, transfer: NonNegativeFloat = 500.0):
        super().__init__()
        self.translators, self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for student, teacher in map_channels:
            factor = max(1, round(rate * teacher))
            self.translators.append(convolutions(student, student, factor, factor))
            self.encoders.append(convolutions(teacher, teacher, factor, factor))
            # Its last layer is linear, as maps may have either sign.
            self.decoders.append(nn.Sequential(convolutions(factor, factor, teacher), nn.Conv2d(teacher, teacher, 3, padding=1)))
        self.transfer = transfer

    def forward(self, maps: list[Tensor], teacher_maps: list[Tensor]) -> dict[str, Tensor]:
        """maps [B, c, h, w] each, teacher_maps [B, ct, ht, wt] each."""
        transfers, errors = [], []
        for index, (student, teacher) in enumerate(zip(maps, map(of_teacher, teacher_maps), strict=True)):
            factor = self.encoders[index](teacher)
            errors.append(functional.mse_loss(self.decoders[index](factor), teacher))
            translated = self.translators[index](at_least_float32(student))
            translated, constant = of_one_size(translated, factor.detach())
            transfers.append(functional.l1_loss(unit_rows(translated), unit_rows(constant)))
        return {"transfer": self.transfer * torch.stack(transfers).mean(), "paraphraser": torch.stack(errors).mean()}


def convolutions(*channels: int) -> nn.Sequential:
    """A 3x3 convolution, a BatchNorm and a leaky ReLU of slope 0.1 from each number of channels to the next."""
    layers: list[nn.Module] = []
    for before, after in zip(channels, channels[1:]):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers)
