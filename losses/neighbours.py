"""Soft labels of a network's own, from the nearest neighbours of its embeddings; no teacher."""

from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt
from torch import Tensor, nn
from torch.nn import functional

from losses.cosine_classifier import at_least_float32
from losses.matching import unit_rows
from losses.soft_targets import Temperature

EMPTY = -1  # label of a place in the bank that holds nothing


class Neighbours(nn.Module):
    """OSAKD-inspired. Published, in the abstract of OSAKD (online self-acquired knowledge distillation; its text and code were
    not to be had): one network, without a teacher, takes the class posteriors that a k-nearest-neighbour density estimate
    finds in its output space for soft labels. The rest is this project's proposal:

    The posterior q of an identity is its share of the k nearest neighbours, by the cosine between embeddings that have no
    gradient; an image is not its own neighbour. The loss is T^2 KL(q || softmax(logits / T)), averaged over the batch, of the
    one loss term that has a classifier, whose logits are taken without a margin. Beside a softmax a weight of 0.5 is a start.

    k: neighbours, or all that there are if there are fewer. A batch of P identities has K - 1 images of an image's own.
    temperature: T.
    bank: so many embeddings of earlier training steps are neighbours, too; 0: those of the batch alone. It fills up first,
        then the oldest make room. An image may find its own embedding of an earlier epoch there.
    warmup: training steps before the loss counts; it is 0 until then, and the bank fills.

    The bank and the count of steps are buffers, so that a resumed run goes on with them; they move in training mode only.
    """

    bank: Tensor
    bank_labels: Tensor
    written: Tensor
    steps: Tensor

    def __init__(
        self,
        embedding_size: int,
        k: Annotated[int, Field(ge=1, le=1000)] = 10,
        temperature: Temperature = 1.0,
        bank: Annotated[int, Field(ge=0, le=1_000_000)] = 0,
        warmup: NonNegativeInt = 0,
    ):
        super().__init__()
        self.k = k
        self.temperature = temperature
        self.warmup = warmup
        self.register_buffer("bank", torch.zeros(bank, embedding_size))
        self.register_buffer("bank_labels", torch.full((bank,), EMPTY))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))  # embeddings so far, over all steps
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, scaled_logits: Tensor, embeddings: Tensor, labels: Tensor) -> Tensor:
        """scaled_logits [B, identities], embeddings [B, D], labels [B] int64 -> scalar."""
        units = unit_rows(embeddings.detach())
        found, counted = self.neighbours(units, labels)
        log_p = functional.log_softmax(at_least_float32(scaled_logits) / self.temperature, dim=1)
        loss = self.temperature**2 * divergence(found, counted, log_p).mean()
        loss = loss * (self.steps >= self.warmup)
        if self.training:
            self.remember(units, labels)
            self.steps += 1
        return loss

    @torch.no_grad()
    def neighbours(self, units: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Labels of the nearest neighbours, int64 [B, k], and which of them count, bool [B, k]."""
        candidates, identities = torch.cat([units, self.bank.to(units.dtype)]), torch.cat([labels, self.bank_labels])
        places = torch.arange(len(candidates), device=units.device)
        itself = places == places[: len(units), None]  # [B, candidates]
        cosines = (units @ candidates.T).masked_fill(itself | (identities == EMPTY), -torch.inf)
        nearest = cosines.topk(min(self.k, len(candidates)), dim=1)
        return identities[nearest.indices].clamp(min=0), nearest.values > -torch.inf

    @torch.no_grad()
    def remember(self, units: Tensor, labels: Tensor) -> None:
        """Write the batch into the bank, over what is oldest."""
        size = len(self.bank)
        if size:
            units, labels = units[-size:], labels[-size:]
            places = (self.written + torch.arange(len(units), device=units.device)) % size
            self.bank[places] = units.to(self.bank.dtype)
            self.bank_labels[places] = labels
            self.written += len(units)


def divergence(found: Tensor, counted: Tensor, log_p: Tensor) -> Tensor:
    """KL(q || p) for each image, [B], where q is the share of each label among the neighbours that count; 0 without any.

    It is the mean over the neighbours of log q - log p of their labels, so that q is never written out over all identities.
    found: labels, int64 [B, k]. counted: bool [B, k]. log_p: [B, identities].
    """
    alike = ((found[:, :, None] == found[:, None, :]) & counted[:, None, :]).sum(dim=2)  # [B, k]
    count = counted.sum(dim=1, keepdim=True).clamp(min=1)
    log_q = (alike.clamp(min=1) / count).log()
    return torch.where(counted, log_q - log_p.gather(1, found), 0.0).sum(dim=1) / count[:, 0]
