"""Losses against naive loops and against pytorch-metric-learning."""

import inspect
import math

import pytest
import torch
from pytorch_metric_learning import losses as reference_losses
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import nn
from torch.nn import functional

from common.errors import InputError
from losses import LOSSES, build_objective
from losses.center import Center
from losses.moving_center import MovingCenter
from losses.objective import Objective
from losses.prelogit_norm import PrelogitNorm
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


def test_an_anchor_without_a_positive_counts_with_distance_0_if_it_is_to(embeddings):
    labels = torch.tensor([0, 0, 1, 2, 3, 4, 4, 4, 5])
    points, total = embeddings.detach(), 0.0
    for i, anchor in enumerate(points):
        positives = [0.0] + [float((anchor - other).norm()) for j, other in enumerate(points) if labels[j] == labels[i]]
        negatives = [float((anchor - other).norm()) for j, other in enumerate(points) if labels[j] != labels[i]]
        total += max(0.0, 1 + max(positives) - min(negatives)) / len(points)
    loss = Triplet(1.0, without_positive="zero")(embeddings, labels)
    assert loss.item() == pytest.approx(total, rel=1e-5)
    loss.backward()
    assert embeddings.grad.isfinite().all()


def test_a_triplet_with_a_projection_compares_what_a_layer_of_its_own_gives(embeddings):
    objective = build_objective([{"name": "triplet", "margin": 1.0, "projection": 4}], embedding_size=6, identities=3)
    layer = objective.losses["triplet"].projection
    assert layer.weight.shape == (4, 6)
    term = objective(embeddings=embeddings, labels=LABELS)["triplet"]
    assert term.item() == pytest.approx(naive_triplet((embeddings @ layer.weight.T).detach(), LABELS, 1.0), rel=1e-5)
    term.backward()
    assert layer.weight.grad.abs().sum() > 0


def test_moving_centers_follow_their_people_by_the_rate_for_each_image(embeddings):
    loss = MovingCenter(6, 5, rate=0.05)
    centers = torch.zeros(5, 6, dtype=torch.float64)
    for _ in range(3):
        value = loss(embeddings, LABELS)
        naive, moved = 0.0, centers.clone()
        for embedding, label in zip(embeddings.detach().double(), LABELS):
            naive += (embedding - centers[label]).square().mean().item() / len(LABELS)
            moved[label] -= 0.05 * (centers[label] - embedding)
        centers = moved
        assert value.item() == pytest.approx(naive, rel=1e-5)
        assert torch.allclose(loss.centers.double(), centers, atol=1e-6)
    assert (loss.centers[3:] == 0).all() and not list(loss.parameters())
    value.backward()  # the centers moved after they were used
    before = loss.eval().centers.clone()
    loss(embeddings, LABELS)
    assert torch.equal(loss.centers, before) and "centers" in loss.state_dict()


def test_prelogit_norm_is_the_mean_l1_norm(embeddings):
    naive = sum(abs(value) + 1e-4 for row in embeddings.tolist() for value in row) / len(embeddings)
    assert PrelogitNorm()(embeddings).item() == pytest.approx(naive, rel=1e-6)


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
    logits = loss.logits(embeddings)
    assert torch.equal(logits, loss.norm(loss.classifier(embeddings)))
    naive = 0.0
    for row, label in zip(functional.log_softmax(logits, dim=1), LABELS):
        target = [0.1 / 3 + (0.9 if c == label else 0.0) for c in range(3)]
        naive -= sum(t * p.item() for t, p in zip(target, row)) / len(LABELS)
    assert loss(logits, LABELS).item() == pytest.approx(naive, rel=1e-5)


def test_mining_lets_easy_images_count_less(embeddings):
    loss = Softmax(6, 3, norm="none", mining=(0.7, 0.6))
    logits = loss.logits(embeddings)
    values = [Softmax(6, 3)(row[None], label[None]).item() for row, label in zip(logits, LABELS)]
    easy = [value < 0.7 * max(values) for value in values]
    assert 0 < sum(easy) < len(easy)
    naive = sum(0.6 * value if each else value for value, each in zip(values, easy)) / len(values)
    assert loss(logits, LABELS).item() == pytest.approx(naive, rel=1e-5)


def test_softmax_without_norm_is_plain_cross_entropy_of_a_linear_layer(embeddings):
    loss = Softmax(6, 3, smoothing=0.0, norm="none")
    reference = functional.cross_entropy(functional.linear(embeddings, loss.classifier.weight, loss.classifier.bias), LABELS)
    assert loss(loss.logits(embeddings), LABELS).item() == pytest.approx(reference.item())


def test_softmax_with_a_neck_classifies_embeddings_normalised_over_the_batch_without_shift(embeddings):
    loss = Softmax(6, 3, smoothing=0.0, norm="embedding")
    deviations = embeddings.detach() - embeddings.detach().mean(dim=0)
    normalised = deviations / (deviations.square().mean(dim=0) + loss.neck.eps).sqrt()
    reference = functional.cross_entropy(normalised @ loss.classifier.weight.T, LABELS)
    value = loss(loss.logits(embeddings), LABELS)
    assert value.item() == pytest.approx(reference.item(), rel=1e-5)
    value.backward()
    assert loss.neck.weight.grad is not None and loss.neck.bias.grad is None and loss.classifier.bias is None


def test_softmax_refuses_a_norm_that_stands_nowhere_known():
    with pytest.raises(InputError, match="norm.*'after'"):
        build_objective([{"name": "softmax", "norm": "after"}], embedding_size=6, identities=3)


REQUIRED = {"metric_learning": {"loss": "MultiSimilarityLoss"}}
"""Options without which a loss cannot be built."""


MAP_CHANNELS = [(4, 6), (8, 8)]


def everything(embeddings: torch.Tensor) -> dict:
    """What a recipe may hand on: the student's with a gradient, the teacher's without."""
    sizes = [8, 4]  # of the student's maps; the teacher's are smaller, or larger
    return {
        "embeddings": embeddings,
        "labels": LABELS,
        "maps": [torch.randn(9, c, side, side).requires_grad_() for (c, _), side in zip(MAP_CHANNELS, sizes)],
        "teacher_embeddings": torch.randn(9, 10),
        "teacher_logits": torch.randn(9, 3),
        "teacher_maps": [torch.randn(9, c, 6, 6) for _, c in MAP_CHANNELS],
    }


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_every_loss_of_the_registry_trains(embeddings, name):
    """One term, or named ones, each a weighted scalar; gradients for what it is given of the student, and for whatever the
    loss owns. One that asks for the logits of another has a softmax beside it."""
    asked = inspect.signature(LOSSES[name].forward).parameters
    borrows = {"logits", "scaled_logits"} & set(asked) and not hasattr(LOSSES[name], "logits")
    terms = [{"name": name, "weight": 2.0, **REQUIRED.get(name, {})}, *(["softmax"] if borrows else [])]
    context = everything(embeddings)
    given = {"provided": tuple(context), "teacher_size": 10, "map_channels": MAP_CHANNELS}
    with torch.device("meta"):  # as settings are checked, without memory
        build_objective(terms, embedding_size=6, identities=3, **given)
    objective = build_objective(terms, embedding_size=6, identities=3, **given)
    loss = objective.losses[name]
    objective.eval()  # so that what it remembers stays
    classifier = objective.losses["softmax"] if borrows else loss
    own = {"logits": classifier.logits(embeddings)} if hasattr(classifier, "logits") else {}
    own |= {"scaled_logits": own["logits"]} if borrows else {}
    alone = loss(**{key: {**context, **own}[key] for key in asked if key != "self"})
    alone = {name: alone} if isinstance(alone, torch.Tensor) else {f"{name}.{part}": each for part, each in alone.items()}
    terms = objective(**context)
    assert list(terms) == [*alone, *(["softmax"] if borrows else [])] and all(term.shape == () for term in terms.values())
    assert {key: terms[key].item() for key in alone} == pytest.approx(
        {key: 2.0 * value.item() for key, value in alone.items()}, rel=1e-6
    )
    objective.train()
    sum(objective(**context).values()).backward()
    students = ([embeddings] if {"embeddings", "logits", "scaled_logits"} & set(asked) else []) + (
        context["maps"] if "maps" in asked else []
    )
    assert students
    for student in students:
        assert student.grad.isfinite().all() and student.grad.abs().sum() > 0
    for key, parameter in objective.named_parameters():
        assert not parameter.requires_grad or parameter.grad.abs().sum() > 0, key


def test_objective_owns_the_parameters_of_its_terms():
    objective = build_objective(["softmax", {"name": "center", "weight": 0.5}], embedding_size=6, identities=3)
    assert objective.weights == {"softmax": 1.0, "center": 0.5}
    assert {name.split(".")[1] for name, _ in objective.named_parameters()} == {"softmax", "center"}


@pytest.mark.parametrize(
    "terms, message",
    [
        ([], "terms is empty"),
        (["arcface2"], "known: .*arcface, .*center, "),
        (["softmax", {"name": "softmax", "smoothing": 0.2}], "'softmax' twice"),
        ([{"name": "triplet", "margn": 0.3}], "it takes: margin, normalise"),
        ([{"name": "triplet", "margin": -0.1}], "margin is -0.1, .*greater than or equal to 0"),
        ([{"name": "triplet", "weight": -1}], "number from 0"),
        ([{"name": "triplet", "weight": float("nan")}], "number from 0"),
        ([{"name": "triplet", "weight": "much"}], "number from 0"),
        ([{"name": "softmax", "smoothing": 1.5}], "smoothing is 1.5, .*less than 1"),
        ([{"name": "softmax", "identities": 9}], "has no option identities"),
        ([{"name": "softmax", "mining": [0.7]}], "option mining is .0.7., which is wrong"),
        ([{"name": "softmax", "mining": [0.7, 1.5]}], "option mining is .*less than or equal to 1"),
        ([{"name": "triplet", "projection": -1}], "projection is -1"),
        ([{"name": "triplet", "without_positive": "count"}], "without_positive is 'count', .*'skip' or 'zero'"),
        ([{"name": "moving_center", "rate": 0}], "rate is 0, .*greater than 0"),
    ],
)
def test_wrong_terms_are_named(terms, message):
    with pytest.raises(InputError, match=message):
        build_objective(terms, embedding_size=6, identities=3)


class Entropy(nn.Module):
    """A loss of the classifier's output that has no classifier of its own, and says how it comes about."""

    def forward(self, logits: torch.Tensor, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"entropy": -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean(), "images": images.mean()}


def test_a_loss_that_asks_for_logits_is_given_the_one_classifiers_computed_once(embeddings):
    softmax = Softmax(6, 3)
    calls = []
    softmax.classifier.register_forward_pre_hook(lambda module, given: calls.append(module))
    weights = {"softmax": 1.0, "entropy": 0.5}
    objective = Objective({"softmax": softmax, "entropy": Entropy()}, weights, ("embeddings", "labels", "images"))
    terms = objective(embeddings=embeddings, labels=LABELS, images=torch.full((9, 3), 4.0))
    assert len(calls) == 1
    probabilities = softmax.logits(embeddings).softmax(1)
    entropy = -(probabilities * probabilities.log()).sum() / len(LABELS)
    assert list(terms) == ["softmax", "entropy.entropy", "entropy.images"]  # named parts
    assert terms["entropy.entropy"].item() == pytest.approx(0.5 * entropy.item(), rel=1e-5)
    assert terms["entropy.images"].item() == 2.0


@pytest.mark.parametrize(
    "losses, provided, message",
    [
        ({"e": Entropy()}, ("embeddings", "images"), "'e' asks for logits, and 0 of the terms have a classifier .none."),
        ({"e": Entropy(), "a": Softmax(2, 2), "b": Softmax(2, 2)}, ("embeddings", "labels", "images"), "2 of the terms .*a, b"),
        ({"s": Softmax(2, 2), "e": Entropy()}, ("embeddings", "labels"), "'e' asks for images, .*provides: embeddings, labels"),
    ],
)
def test_a_loss_that_asks_for_what_nobody_provides_is_refused(losses, provided, message):
    with pytest.raises(InputError, match=message):
        Objective(losses, dict.fromkeys(losses, 1.0), provided)


def test_an_objective_says_what_its_losses_ask_for():
    """So that several processes exchange images only where a loss wants to see them."""
    objective = build_objective([{"name": "triplet"}, {"name": "center"}], 4, identities=3)
    assert objective.asks_for("embeddings") and objective.asks_for("labels") and not objective.asks_for("images")
