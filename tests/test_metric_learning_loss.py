"""The losses of pytorch-metric-learning as a term: they are what the package computes, and no name reaches anything else."""

import sys

import pytest
import torch
from pytorch_metric_learning import losses, miners

from common.errors import InputError
from losses import build_objective
from losses.metric_learning import MetricLearning

LABELS = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
NEEDED = {"RankedListLoss": {"margin": 0.4, "Tn": 10}}
"""Options without which a loss of the package cannot be built."""
UNUSABLE = {"VICRegLoss": "labels", "ManifoldLoss": "'l'", "GenericPairLoss": "mat_based_loss", "DynamicSoftMarginLoss": "resume"}
NAMES = sorted(
    name
    for name, each in vars(losses).items()
    if isinstance(each, type) and issubclass(each, losses.BaseMetricLossFunction) and each is not losses.BaseMetricLossFunction
)


@pytest.fixture
def embeddings() -> torch.Tensor:
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()


def term(loss, **options):
    return build_objective([{"name": "metric_learning", "loss": loss, **options}], embedding_size=6, identities=4)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(UNUSABLE)))
def test_every_loss_of_the_package_is_its_own_and_trains(embeddings, name):
    options = NEEDED.get(name, {})
    torch.manual_seed(3)
    objective = term(name, options=options)
    torch.manual_seed(3)
    theirs = getattr(losses, name)
    sizes = {"num_classes": 4, "embedding_size": 6}
    if name == "P2SGradLoss":
        sizes = {"num_classes": 4, "descriptors_dim": 6}
    reference = theirs(**options, **(sizes if list(objective.parameters()) else {}))
    value = objective(embeddings=embeddings, labels=LABELS)["metric_learning"]
    assert value.item() == pytest.approx(reference(embeddings, LABELS).item(), rel=1e-5)
    value.backward()
    assert embeddings.grad.isfinite().all() and embeddings.grad.abs().sum() > 0
    assert len(list(objective.parameters())) == len(list(reference.parameters()))
    with torch.device("meta"):  # where settings are checked
        term(name, options=options)


def test_options_and_a_miner_are_those_of_the_package(embeddings):
    objective = term("MultiSimilarityLoss", options={"alpha": 3}, miner={"name": "MultiSimilarityMiner", "epsilon": 0.3})
    pairs = miners.MultiSimilarityMiner(epsilon=0.3)(embeddings, LABELS)
    expected = losses.MultiSimilarityLoss(alpha=3)(embeddings, LABELS, pairs)
    assert objective(embeddings=embeddings, labels=LABELS)["metric_learning"].item() == pytest.approx(expected.item())
    assert expected.item() != pytest.approx(losses.MultiSimilarityLoss()(embeddings, LABELS).item())


def test_trying_a_loss_out_draws_nothing_from_the_generator():
    torch.manual_seed(7)
    term("MultiSimilarityLoss")
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))


@pytest.mark.parametrize("name, message", sorted(UNUSABLE.items()))
def test_a_loss_that_embeddings_and_labels_cannot_train_is_refused_in_a_sentence(name, message):
    with pytest.raises(InputError, match=message):
        term(name)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss": "NoLoss"}, "has no loss 'NoLoss'; known: AngularLoss, ArcFaceLoss, .*VICRegLoss"),
        ({"loss": "torch.nn.L1Loss"}, "has no loss 'torch.nn.L1Loss'"),
        ({"loss": "CrossBatchMemory"}, "has no loss"),  # wraps a loss that settings cannot say
        ({"loss": "BaseMetricLossFunction"}, "has no loss"),
        ({"loss": "__builtins__"}, "has no loss"),
        ({"loss": "sys"}, "has no loss"),
        ({"loss": 3}, "option loss is 3, which is wrong"),
        ({"loss": ""}, "has no loss ''"),
        ({"loss": "NCALoss", "options": {"name": "NPairsLoss"}}, "has no option name; it takes: softmax_scale"),
        (
            {"loss": "MultiSimilarityLoss", "options": {"alph": 2}},
            "has no option alph; it takes: .*alpha, beta, base",
        ),
        ({"loss": "MultiSimilarityLoss", "options": {"distance": "x"}}, "has no option distance"),
        ({"loss": "MultiSimilarityLoss", "options": {"alpha": "much"}}, "cannot be trained .*'alpha': 'much'"),
        ({"loss": "MultiSimilarityLoss", "options": {"alpha": 0}}, "with the options .'alpha': 0.: float division by zero"),
        ({"loss": "NTXentLoss", "options": {"temperature": 0}}, "NTXentLoss' of metric_learning is nan with the options"),
        ({"loss": "MultiSimilarityLoss", "options": [2]}, "option options is .2., which is wrong"),
        ({"loss": "ArcFaceLoss", "options": {"num_classes": 3}}, "has no option num_classes; it takes: margin, scale"),
        ({"loss": "RankedListLoss"}, "cannot be trained .*missing"),
        ({"loss": "ContrastiveLoss", "miner": "NoMiner"}, "has no miner 'NoMiner'; known: AngularMiner"),
        ({"loss": "ContrastiveLoss", "miner": "ContrastiveLoss"}, "has no miner"),
        ({"loss": "ContrastiveLoss", "miner": {"epsilon": 1}}, "the miner of metric_learning is .*it should be a name"),
        ({"loss": "ContrastiveLoss", "miner": {"name": "AngularMiner", "angel": 1}}, "no option angel; it takes: angle"),
        ({}, "needs the option loss"),
    ],
)
def test_wrong_names_and_options_are_one_sentence(options, message):
    with pytest.raises(InputError, match=message):
        build_objective([{"name": "metric_learning", **options}], embedding_size=6, identities=4)


def test_without_the_package_the_answer_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(InputError, match="not installed: pip install -r requirements-metric-learning.txt"):
        MetricLearning(6, 4, "MultiSimilarityLoss")
