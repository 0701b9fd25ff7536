"""The identity heads over cosines against loops over samples and classes, written from the papers and FaceX-Zoo's formulas in
float64; what they promise at the ends of the range, in bfloat16, in evaluation, across a checkpoint and while warming up."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from pytorch_metric_learning import losses as reference_losses
from torch import Tensor
from torch.nn import functional

from common.errors import InputError
from losses import LOSSES, build_objective
from losses.cosine_classifier import CosineClassifier, automatic_scale

IDENTITIES, SIZE = 7, 5
LABELS = torch.tensor([0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4])
HEADS = sorted(name for name, loss in LOSSES.items() if isinstance(loss, type) and issubclass(loss, CosineClassifier))
WARMING = sorted(set(HEADS) - {"adacos", "circle"})


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def cosines() -> Tensor:
    """[12, 7] float64, own and other ones from -1 to 1, so that every case of every formula occurs."""
    values = torch.rand(len(LABELS), IDENTITIES, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 2 - 1
    own = torch.linspace(-0.99, 0.97, len(LABELS), dtype=torch.float64)
    return values.scatter(1, LABELS[:, None], own[:, None])


def build(name: str, identities: int = IDENTITIES, size: int = SIZE, **options) -> CosineClassifier:
    return build_objective([{"name": name, **options}], embedding_size=size, identities=identities).losses[name]


def softmax_term(value: Tensor | dict[str, Tensor]) -> Tensor:
    return value["softmax"] if isinstance(value, dict) else value


def naive(cosines: Tensor, labels: Tensor, logit: Callable[[list[float], int, int], float]) -> float:
    """Mean cross-entropy of logits that a function of a row of cosines, the own class and a class computes one by one."""
    total = 0.0
    for row, y in zip(cosines.tolist(), labels.tolist()):
        logits = [logit(row, y, j) for j in range(len(row))]
        total += math.log(sum(math.exp(each - max(logits)) for each in logits)) + max(logits) - logits[y]
    return total / len(labels)


def angle(cosine: float) -> float:
    return math.acos(cosine)


def am(row: Sequence[float], y: int, j: int) -> float:
    return 32 * (row[j] - 0.35 if j == y else row[j])


def arc(row: Sequence[float], y: int, j: int) -> float:
    if j != y:
        return 32 * row[j]
    return 32 * (math.cos(angle(row[y]) + 0.35) if angle(row[y]) < math.pi - 0.35 else row[y])


def arc_lowered(row: Sequence[float], y: int, j: int) -> float:
    if j != y:
        return 64 * row[j]
    return 64 * (math.cos(angle(row[y]) + 0.5) if angle(row[y]) < math.pi - 0.5 else row[y] - 0.5 * math.sin(math.pi - 0.5))


def mv_am(row: Sequence[float], y: int, j: int) -> float:
    if j == y:
        return 32 * (row[y] - 0.35 if row[y] > 0.35 else row[y])
    return 32 * (1.12 * row[j] + 0.12 if row[j] > row[y] - 0.35 else row[j])


def mv_arc(row: Sequence[float], y: int, j: int) -> float:
    moved = math.cos(angle(row[y]) + 0.35)
    if j == y:
        return 32 * (moved if row[y] > 0 else row[y])
    return 32 * (1.2 * row[j] + 0.2 if row[j] > moved else row[j])


def circle(row: Sequence[float], y: int, j: int) -> float:
    if j == y:
        return 256 * max(0.0, 1 + 0.25 - row[y]) * (row[y] - (1 - 0.25))
    return 256 * max(0.0, row[j] + 0.25) * (row[j] - 0.25)


def npc(row: Sequence[float], y: int, j: int) -> float:
    hard = [c for k, c in enumerate(row) if k != y and c > math.cos(angle(row[y]) + 0.35)]
    if j != y:
        return 32 * (1.10 * row[j] + 0.20 if row[j] in hard else row[j])
    margin = 0.40 + 0.20 * sum(hard) / max(1, len(hard))
    return 32 * (math.cos(angle(row[y]) + margin) if row[y] > 0 else row[y])


def arc_neg(row: Sequence[float], y: int, j: int) -> float:
    a = math.cos(angle(row[y]) + 0.5) if row[y] > math.cos(math.pi - 0.5) else row[y] - 0.5 * math.sin(math.pi - 0.5)
    t = 1.2 * math.exp(-((row[j] - a) ** 2) / 2)
    return 64 * (a if j == y else t * row[j] + t - 1)


@pytest.mark.parametrize(
    "name, options, logit",
    [
        ("am_softmax", {}, am),
        ("arcface", {}, arc),
        ("arcface", {"scale": 64, "margin": 0.5, "beyond": "lowered"}, arc_lowered),
        ("mv_softmax", {}, mv_am),
        ("mv_softmax", {"mode": "arc", "hardness": 1.2}, mv_arc),
        ("circle", {}, circle),
        ("npcface", {}, npc),
        ("arcnegface", {}, arc_neg),
    ],
)
def test_a_head_equals_its_formula(cosines, name, options, logit):
    assert build(name, **options)(cosines, LABELS).item() == pytest.approx(naive(cosines, LABELS, logit), rel=1e-6)


@pytest.mark.parametrize(
    "name, slope",
    [
        ("mv_softmax", lambda row, y, c: 1.12 if c > row[y] - 0.35 else 1.0),
        ("curricularface", lambda row, y, c: 0.2 + 2 * c if c > math.cos(angle(row[y]) + 0.5) else 1.0),
        ("circle", lambda row, y, c: max(0.0, c + 0.25)),
        ("npcface", lambda row, y, c: 1.10 if c > math.cos(angle(row[y]) + 0.35) else 1.0),
        ("arcnegface", lambda row, y, c: 1.2 * math.exp(-((c - arc_neg(row, y, y) / 64) ** 2) / 2)),
    ],
)
def test_weights_and_margins_that_are_constants_have_no_gradient(cosines, name, slope):
    """The gradient of another identity's cosine is scale * probability * slope, and nothing more, say by way of the margin."""
    head = build(name).eval()
    if name == "curricularface":
        head.t.fill_(0.2)
    given = cosines.clone().requires_grad_()
    head(given, LABELS).backward()
    own = functional.one_hot(LABELS, IDENTITIES).bool()
    probabilities = head.class_logits(cosines, own, cosines[own][:, None]).softmax(dim=1)
    slopes = (given.grad * len(LABELS) / (head.scale * probabilities)).tolist()
    for found, row, y in zip(slopes, cosines.tolist(), LABELS.tolist()):
        for j, c in enumerate(row):
            assert j == y or found[j] == pytest.approx(slope(row, y, c), rel=1e-5, abs=1e-9)


def test_adam_softmax_learns_a_margin_for_each_identity(cosines):
    head = build("adam_softmax")
    margins = head.margins.detach().double()
    assert 0.3 <= margins.min() < margins.max() <= 0.4
    with torch.no_grad():
        head.margins[0], head.margins[1] = 1.3, -0.2  # as an optimiser may leave them
    margins[0], margins[1] = 1.0, 0.0
    value = head(cosines, LABELS)
    expected = naive(cosines, LABELS, lambda row, y, j: 32 * (row[j] - margins[y].item() if j == y else row[j]))
    assert value["softmax"].item() == pytest.approx(expected, rel=1e-6)
    assert value["margins"].item() == pytest.approx(70 * (1 - margins.mean().item()), rel=1e-6)
    sum(value.values()).backward()
    assert torch.equal(head.margins.detach().double(), margins.float().double()) and (head.margins.grad != 0).all()


def test_adacos_sets_its_scale_by_the_batch_and_uses_it_at_once(cosines):
    head, scale = build("adacos"), math.sqrt(2) * math.log(IDENTITIES - 1)
    assert head.adapted.item() == pytest.approx(scale)
    for own in (cosines, cosines.abs().sqrt()):  # median angles above and below 45 degrees
        value = head(own, LABELS)
        rows, labels = own.tolist(), LABELS.tolist()
        b = sum(math.exp(scale * c) for row, y in zip(rows, labels) for j, c in enumerate(row) if j != y) / len(rows)
        angles = sorted(angle(row[y]) for row, y in zip(rows, labels))
        median = angles[(len(angles) - 1) // 2]
        scale = math.log(b) / math.cos(min(math.pi / 4, median))
        assert head.adapted.item() == pytest.approx(scale, rel=1e-5)
        expected = naive(own, LABELS, lambda row, y, j, scale=scale: scale * row[j])
        assert value.item() == pytest.approx(expected, rel=1e-5)


def test_adacos_of_two_opposite_people_keeps_a_scale_that_says_something():
    head = build("adacos", identities=2)
    cosines = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    for _ in range(5):
        assert head(cosines, torch.tensor([0, 1])).isfinite()
    assert head.adapted.item() == pytest.approx(math.sqrt(2) * math.log(2))


def test_curricularface_moves_t_before_it_uses_it(cosines):
    head, t = build("curricularface"), 0.0

    def logit(row: Sequence[float], y: int, j: int) -> float:
        moved = math.cos(angle(row[y]) + 0.5)
        if j == y:
            return 64 * (moved if row[y] > math.cos(math.pi - 0.5) else row[y] - 0.5 * math.sin(math.pi - 0.5))
        return 64 * (row[j] * (t + row[j]) if row[j] > moved else row[j])

    for rows in (cosines, cosines.abs()):
        value = head(rows, LABELS)
        t = 0.01 * rows[torch.arange(len(rows)), LABELS].mean().item() + 0.99 * t
        assert head.t.item() == pytest.approx(t, rel=1e-5)
        assert value.item() == pytest.approx(naive(rows, LABELS, logit), rel=1e-5)


def test_magface_has_a_margin_for_each_length(cosines):
    lengths = [4.0, 10.0, 20.0, 35.0, 50.0, 60.0, 75.0, 90.0, 100.0, 110.0, 130.0, 60.0]
    embeddings = functional.normalize(torch.randn(12, SIZE, dtype=torch.float64)) * torch.tensor(lengths)[:, None]
    clamped = [min(max(length, 10.0), 110.0) for length in lengths]
    total = 0.0
    for i, a in enumerate(clamped):
        margin = 0.45 + (0.8 - 0.45) * (a - 10) / (110 - 10)

        def logit(row: Sequence[float], y: int, j: int, margin: float = margin) -> float:
            own = math.cos(angle(row[y]) + margin) if angle(row[y]) < math.pi - margin else row[y]
            return 64 * (own if j == y else row[j])

        total += naive(cosines[i : i + 1], LABELS[i : i + 1], logit) / len(clamped)
    value = build("magface")(cosines, LABELS, embeddings)
    assert value["softmax"].item() == pytest.approx(total, rel=1e-6)
    assert value["lengths"].item() == pytest.approx(20 * sum(1 / a + a / 110**2 for a in clamped) / 12, rel=1e-6)


def test_magface_pulls_at_the_lengths_inside_its_range_alone():
    head = build("magface", size=SIZE)
    embeddings = functional.normalize(torch.randn(3, SIZE)) * torch.tensor([[5.0], [50.0], [120.0]])
    embeddings.requires_grad_()
    sum(head(head.logits(embeddings), LABELS[:3], embeddings).values()).backward()
    outward = (embeddings.grad * functional.normalize(embeddings.detach())).sum(dim=1).abs()
    assert outward[1] > 1e-4 and outward[0] < 1e-5 and outward[2] < 1e-5  # cosines have no gradient along the embedding


@pytest.mark.parametrize(
    "name, options, reference",
    [
        ("am_softmax", {"scale": 64}, "CosFaceLoss"),
        ("arcface", {"scale": 64, "margin": math.radians(28.6), "beyond": "lowered"}, "ArcFaceLoss"),
    ],
)
def test_a_head_equals_pytorch_metric_learning(name, options, reference):
    head = build(name, **options)
    embeddings = torch.randn(12, SIZE, requires_grad=True)
    theirs = getattr(reference_losses, reference)(IDENTITIES, SIZE)
    theirs.W.data = head.weights.detach().T.clone() * 3
    ours, other = head(head.logits(embeddings), LABELS), theirs(embeddings, LABELS)
    assert ours.item() == pytest.approx(other.item(), rel=1e-4)
    gradients = [torch.autograd.grad(value, embeddings)[0] for value in (ours, other)]
    assert torch.allclose(*gradients, atol=1e-4 * gradients[1].abs().max().item())


def test_circle_loss_equals_pytorch_metric_learning_between_images_and_weights():
    """Of one image and the weights as reference images, its pairs are the classes."""
    head = build("circle")
    embeddings = torch.randn(12, SIZE)
    theirs = reference_losses.CircleLoss(m=0.25, gamma=256)
    each = [
        theirs(embedding[None], label[None], ref_emb=head.weights.detach(), ref_labels=torch.arange(IDENTITIES))
        for embedding, label in zip(embeddings, LABELS)
    ]
    assert head(head.logits(embeddings), LABELS).item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_logits_are_the_cosines(name):
    head = build(name)
    embeddings = torch.randn(12, SIZE)
    expected = functional.cosine_similarity(embeddings[:, None], head.weights[None], dim=2)
    assert torch.allclose(head.logits(embeddings), expected, atol=1e-6)
    assert torch.allclose(head.weights.norm(dim=1), torch.ones(IDENTITIES))


def extreme(head: CosineClassifier, dtype: torch.dtype) -> Tensor:
    """Embeddings that lie on, against and beside the own direction, and on another one; rounded to `dtype`."""
    weights = head.weights.detach()
    rows = [weights[0], -weights[1], weights[3], -weights[2], weights[4] * 1e-4, weights[5] * 1e4]
    return torch.stack(rows).to(dtype).float()


EXTREME_LABELS = torch.tensor([0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", HEADS)
def test_values_and_gradients_are_finite_for_embeddings_on_a_direction(name, dtype, autocast):
    objective = build_objective([name], embedding_size=SIZE, identities=IDENTITIES)
    embeddings = extreme(objective.losses[name], dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        terms = objective(embeddings=embeddings, labels=EXTREME_LABELS)
    sum(terms.values()).backward()
    assert all(term.isfinite() and term.dtype == torch.float32 for term in terms.values())
    gradients = [embeddings.grad, *(parameter.grad for parameter in objective.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert embeddings.grad[:4].abs().max() < 3000  # of a scale of up to 256


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", HEADS)
def test_cosines_of_1_and_minus_1_and_a_rounding_beyond_have_finite_gradients(name, dtype):
    values = [1.0, -1.0, 1.0 + 1e-6, -1.0 - 1e-6, 0.0, 0.5]
    cosines = torch.tensor(values).repeat(IDENTITIES, 1).T.contiguous().to(dtype).requires_grad_()
    given = {"embeddings": torch.randn(6, SIZE)} if name == "magface" else {}
    value = build(name)(cosines, EXTREME_LABELS, **given)
    softmax_term(value).backward()
    assert softmax_term(value).isfinite() and cosines.grad.isfinite().all()


@pytest.mark.parametrize("name", HEADS)
def test_what_a_head_remembers_moves_in_training_alone_and_survives_a_checkpoint(name):
    options = {"warmup": 4} if name in WARMING else {}
    head = build(name, **options)
    embeddings = torch.randn(12, SIZE)
    given = {"embeddings": embeddings} if name == "magface" else {}

    def step(head: CosineClassifier) -> float:
        return softmax_term(head(head.logits(embeddings), LABELS, **given)).item()

    fresh = {key: value.clone() for key, value in head.named_buffers()}
    assert set(fresh) == set(options and {"steps"}) | {"adacos": {"adapted"}, "curricularface": {"t"}}.get(name, set())
    step(head), step(head)
    moved = {key: value.clone() for key, value in head.named_buffers()}
    assert all(not torch.equal(moved[key], value) for key, value in fresh.items())
    value = step(head.eval())
    assert step(head) == value and all(torch.equal(moved[key], value) for key, value in head.named_buffers())
    other = build(name, **options)
    other.load_state_dict(head.state_dict())
    assert step(other.eval()) == value
    assert step(other.train()) == step(head.train()) and step(other) == step(head)


@pytest.mark.parametrize("name", WARMING)
def test_the_margin_warms_up_from_none_to_the_whole(cosines, name):
    given = {"embeddings": torch.randn(12, SIZE) * 20} if name == "magface" else {}
    head, whole = build(name, warmup=4), build(name)
    whole.load_state_dict(head.state_dict(), strict=False)
    if name == "curricularface":
        head.eval(), whole.eval()  # t stays, and the steps are counted by hand
    values, margins = [], []
    for step in range(6):
        if name == "curricularface":
            head.steps.fill_(step)
        margins.append(float(head.warmed()))
        values.append(softmax_term(head(cosines, LABELS, **given)).item())
    assert margins == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert values[4] == values[5] == pytest.approx(softmax_term(whole(cosines, LABELS, **given)).item(), rel=1e-6)
    assert values[0] != pytest.approx(values[4], rel=1e-3)
    if name in ("am_softmax", "adam_softmax", "arcface", "magface"):  # without a margin all four are the same
        scaled = functional.cross_entropy(head.scale * cosines, LABELS)
        assert values[0] == pytest.approx(scaled.item(), rel=1e-6)


def test_the_second_term_of_adam_softmax_warms_up_with_the_margins(cosines):
    head = build("adam_softmax", warmup=2)
    values = [head(cosines, LABELS)["margins"].item() for _ in range(3)]
    assert values == pytest.approx([0.0, values[2] / 2, values[2]]) and values[2] > 0


@pytest.mark.parametrize("name", sorted(set(HEADS) - {"circle"}))
def test_the_automatic_scale_is_that_of_few_classes(name):
    assert build(name, identities=50, scale="auto").scale == pytest.approx(math.sqrt(2) * math.log(49))
    published = {"adacos": automatic_scale(50), "curricularface": 64, "magface": 64, "arcnegface": 64}
    assert build(name, identities=50).scale == published.get(name, 32)


def test_the_automatic_scale_of_one_or_two_people_is_that_of_three():
    assert automatic_scale(1) == automatic_scale(2) == automatic_scale(3) == math.sqrt(2) * math.log(2) > 0


@pytest.mark.parametrize("name", HEADS)
def test_a_few_steps_of_training_separate_three_people(name):
    options = {"scale": 8.0} if name != "circle" else {"gamma": 8.0}
    labels = torch.arange(3).repeat(4)
    embeddings = (torch.eye(3, SIZE)[labels] * 20 + torch.randn(12, SIZE)).requires_grad_()
    objective = build_objective([{"name": name, **options}], embedding_size=SIZE, identities=3)
    weights, values = [embeddings, *objective.parameters()], []
    for _ in range(30):
        loss = sum(objective(embeddings=embeddings, labels=labels).values())
        values.append(loss.item())
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):
                weight -= 0.05 * gradient
    assert values[-1] < 0.8 * values[0]
    found = objective.losses[name].logits(embeddings).argmax(dim=1)
    assert (found == labels).all()


@pytest.mark.parametrize(
    "term, message",
    [
        ({"name": "arcface", "scale": 0}, "option scale is 0, .*greater than 0"),
        ({"name": "arcface", "scale": "big"}, "option scale is 'big'"),
        ({"name": "arcface", "margin": -0.1}, "margin is -0.1, .*greater than or equal to 0"),
        ({"name": "arcface", "margin": float("nan")}, "margin is nan, .*finite"),
        ({"name": "arcface", "warmup": 1.5}, "warmup is 1.5"),
        ({"name": "arcface", "warmup": -1}, "warmup is -1"),
        ({"name": "arcface", "beyond": "pi"}, "beyond is 'pi', .*'cosine' or 'lowered'"),
        ({"name": "mv_softmax", "mode": "cos"}, "mode is 'cos', .*'am' or 'arc'"),
        ({"name": "adacos", "warmup": 5}, "has no option warmup; it takes: scale"),
        ({"name": "circle", "warmup": 5}, "has no option warmup; it takes: gamma, margin"),
        ({"name": "magface", "lengths": [110.0, 10.0]}, "lengths are .110.0, 10.0. .*the first should be the smaller"),
        ({"name": "magface", "margins": [0.5]}, "option margins is .0.5., which is wrong"),
        ({"name": "adam_softmax", "margin": 0.99}, "margin is 0.99, .*less than or equal to 0.95"),
    ],
)
def test_wrong_options_are_one_sentence(term, message):
    with pytest.raises(InputError, match=message):
        build_objective([term], embedding_size=SIZE, identities=IDENTITIES)
