"""Losses against naive loops and against pytorch-metric-learning."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as reference_losses
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch.nn import functional

from common.errors import InputError
from losses import LOSSES, build_objective
from losses.center import Center
from losses.softmax import Softmax
from losses.triplet import Triplet, euclidean_distances

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2])


@pytest.fixture
def embeddings() -> torch.Tensor:
    return torch.randn(len(LABELS), 6, generator=torch.Generator().manual_seed(3)).mul(2).requires_grad_()


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def naive_triplet(embeddings: torch.Tensor, labels: torch.Tensor, margin: float | None) -> float:
    """For every anchor: the farthest positive and the nearest negative, by plain loops."""
    losses = []
    for i, anchor in enumerate(embeddings):
        positives = [float((anchor - other).norm()) for j, other in enumerate(embeddings) if labels[j] == labels[i] and j != i]
        negatives = [float((anchor - other).norm()) for j, other in enumerate(embeddings) if labels[j] != labels[i]]
        if positives and negatives:
            gap = max(positives) - min(negatives)
            losses.append(math.log(1 + math.exp(gap)) if margin is None else max(0.0, margin + gap))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("margin", [None, 0.3, 2.0])
def test_triplet_equals_naive_loop(embeddings, margin):
    assert Triplet(margin)(embeddings, LABELS).item() == pytest.approx(
        naive_triplet(embeddings.detach(), LABELS, margin), rel=1e-5
    )


def test_triplet_skips_anchors_without_a_positive(embeddings):
    labels = LABELS.clone()
    labels[5:] = torch.tensor([5, 6, 7, 8])
    assert Triplet()(embeddings, labels).item() == pytest.approx(naive_triplet(embeddings.detach(), labels, None), rel=1e-5)


@pytest.mark.parametrize("labels", [torch.zeros(9, dtype=torch.long), torch.arange(9)])
def test_triplet_without_any_triplet_is_zero_with_finite_gradient(embeddings, labels):
    loss = Triplet()(embeddings, labels)
    loss.backward()
    assert loss.item() == 0.0 and embeddings.grad.isfinite().all()


def test_triplet_equals_pytorch_metric_learning(embeddings):
    distance = LpDistance(normalize_embeddings=False)
    miner = BatchHardMiner(distance=distance)
    reference = reference_losses.TripletMarginLoss(margin=0.3, distance=distance, reducer=MeanReducer())
    hard = miner(embeddings, LABELS)
    assert Triplet(0.3)(embeddings, LABELS).item() == pytest.approx(reference(embeddings, LABELS, hard).item(), rel=1e-4)


def test_normalised_triplet_ignores_the_length(embeddings):
    loss = Triplet(normalise=True)
    assert loss(embeddings, LABELS).item() == pytest.approx(loss(embeddings * 7, LABELS).item(), rel=1e-5)


def test_collapsed_embeddings_rest_at_ln_2_and_keep_a_finite_gradient():
    embeddings = torch.ones(9, 6, requires_grad=True)
    loss = Triplet()(embeddings, LABELS)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2), rel=1e-4) and embeddings.grad.isfinite().all()


def test_distances_equal_cdist(embeddings):
    ours = euclidean_distances(embeddings)
    assert torch.allclose(ours, torch.cdist(embeddings, embeddings), atol=2e-3)


def test_center_equals_naive_loop(embeddings):
    loss = Center(6, 3)
    naive = 0.0
    for embedding, label in zip(embeddings, LABELS):
        naive += sum((x - c).item() ** 2 for x, c in zip(embedding, loss.centers[label])) / len(LABELS)
    assert loss(embeddings, LABELS).item() == pytest.approx(naive, rel=1e-5)


def test_center_moves_only_the_centers_of_the_batch(embeddings):
    loss = Center(6, 5)
    loss(embeddings, LABELS).backward()
    assert (loss.centers.grad[:3] != 0).any(dim=1).all() and (loss.centers.grad[3:] == 0).all()


def test_softmax_equals_naive_label_smoothing(embeddings):
    loss = Softmax(6, 3, smoothing=0.1)
    logits = loss.norm(loss.classifier(embeddings))
    naive = 0.0
    for row, label in zip(functional.log_softmax(logits, dim=1), LABELS):
        target = [0.1 / 3 + (0.9 if c == label else 0.0) for c in range(3)]
        naive -= sum(t * p.item() for t, p in zip(target, row)) / len(LABELS)
    assert loss(embeddings, LABELS).item() == pytest.approx(naive, rel=1e-5)


def test_softmax_without_norm_is_plain_cross_entropy_of_a_linear_layer(embeddings):
    loss = Softmax(6, 3, smoothing=0.0, norm="none")
    reference = functional.cross_entropy(functional.linear(embeddings, loss.classifier.weight, loss.classifier.bias), LABELS)
    assert loss(embeddings, LABELS).item() == pytest.approx(reference.item())


def test_softmax_with_a_neck_classifies_embeddings_normalised_over_the_batch_without_shift(embeddings):
    loss = Softmax(6, 3, smoothing=0.0, norm="embedding")
    deviations = embeddings.detach() - embeddings.detach().mean(dim=0)
    normalised = deviations / (deviations.square().mean(dim=0) + loss.neck.eps).sqrt()
    reference = functional.cross_entropy(normalised @ loss.classifier.weight.T, LABELS)
    value = loss(embeddings, LABELS)
    assert value.item() == pytest.approx(reference.item(), rel=1e-5)
    value.backward()
    assert loss.neck.weight.grad is not None and loss.neck.bias.grad is None and loss.classifier.bias is None


def test_softmax_refuses_a_norm_that_stands_nowhere_known():
    with pytest.raises(InputError, match="norm.*'after'"):
        build_objective({"softmax": {"norm": "after"}}, embedding_size=6, identities=3)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_of_the_registry_trains(embeddings, name):
    objective = build_objective({name: {"weight": 2.0}}, embedding_size=6, identities=3)
    terms = objective(embeddings, LABELS)
    assert list(terms) == [name] and terms[name].shape == ()
    terms[name].backward()
    assert embeddings.grad.isfinite().all() and embeddings.grad.abs().sum() > 0
    assert terms[name].item() == pytest.approx(2.0 * objective.losses[name](embeddings, LABELS).item(), rel=1e-6)


def test_objective_drops_null_terms_and_owns_the_parameters_of_the_others():
    objective = build_objective({"softmax": {}, "triplet": None, "center": {"weight": 0.5}}, embedding_size=6, identities=3)
    assert objective.weights == {"softmax": 1.0, "center": 0.5}
    assert {name.split(".")[1] for name, _ in objective.named_parameters()} == {"softmax", "center"}


@pytest.mark.parametrize(
    "terms, message",
    [
        ({}, "terms is empty"),
        ({"triplet": None}, "terms is empty"),
        ({"arcface2": {}}, "known: center"),
        ({"triplet": {"margn": 0.3}}, "it takes: margin, normalise"),
        ({"triplet": {"weight": -1}}, "at least 0"),
        ({"triplet": {"weight": "much"}}, "at least 0"),
        ({"softmax": {"smoothing": 1.5}}, "below 1"),
    ],
)
def test_wrong_terms_are_named(terms, message):
    with pytest.raises(InputError, match=message):
        build_objective(terms, embedding_size=6, identities=3)
