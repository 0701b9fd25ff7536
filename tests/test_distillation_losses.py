"""Loss terms that learn from a teacher, or from a network's own neighbours, against plain loops in float64."""

import inspect
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from common.errors import InputError
from losses import LOSSES, build_objective
from losses import relational as relational_module
from losses.matching import of_one_size, shrunk
from losses.objective import Objective

BATCH, SIZE, TEACHER_SIZE, IDENTITIES = 9, 6, 8, 5
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 3])
MAP_CHANNELS = [(4, 6), (5, 5), (8, 7)]
OF_EMBEDDINGS = ["template", "angular", "embedding_mse", "embedding_labels", "pkt", "relational"]
OF_MAPS = ["fitnet", "fsp", "nst", "factor_transfer"]
NAMES = [*OF_EMBEDDINGS, "soft_targets", *OF_MAPS, "neighbours"]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def build(name: str, teacher_size: int = TEACHER_SIZE, map_channels: list | None = None, **options) -> torch.nn.Module:
    given = {
        "embedding_size": SIZE,
        "identities": IDENTITIES,
        "teacher_size": teacher_size,
        "map_channels": map_channels or MAP_CHANNELS,
    }
    return LOSSES.build({"name": name, **options}, **given)


def context(batch: int = BATCH, teacher_size: int = TEACHER_SIZE) -> dict:
    """What the recipe and the objective hand on, everything with a gradient that may have one."""
    sides = [8, 6, 3]
    return {
        "embeddings": torch.randn(batch, SIZE).requires_grad_(),
        "teacher_embeddings": torch.randn(batch, teacher_size).requires_grad_(),
        "labels": LABELS[:batch],
        "scaled_logits": (3 * torch.randn(batch, IDENTITIES)).requires_grad_(),
        "teacher_logits": (3 * torch.randn(batch, IDENTITIES)).requires_grad_(),
        "maps": [torch.randn(batch, c, side, side).requires_grad_() for (c, _), side in zip(MAP_CHANNELS, sides)],
        "teacher_maps": [torch.randn(batch, c, side, side).requires_grad_() for (_, c), side in zip(MAP_CHANNELS, [6, 4, 4])],
    }


def call(loss: torch.nn.Module, given: dict) -> dict[str, Tensor]:
    """The parts of a loss, given what it names."""
    value = loss(**{key: given[key] for key in inspect.signature(loss.forward).parameters})
    return {"": value} if isinstance(value, Tensor) else value


def tensors(given: dict, teacher: bool) -> list[Tensor]:
    """The tensors of the teacher, or those of the student."""
    chosen = [value for key, value in given.items() if key.startswith("teacher_") == teacher and key != "labels"]
    return [each for value in chosen for each in (value if isinstance(value, list) else [value])]


def array(values: Tensor) -> np.ndarray:
    return values.detach().double().numpy()


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def huber(difference: float) -> float:
    return difference**2 / 2 if abs(difference) < 1 else abs(difference) - 0.5


def projected(loss: torch.nn.Module, embeddings: Tensor) -> np.ndarray:
    layer = loss.projection.layer
    return array(embeddings) @ array(layer.weight).T + array(layer.bias)


def regressed(loss: torch.nn.Module, maps: list[Tensor]) -> list[np.ndarray]:
    values = []
    for layer, each in zip(loss.regressors.layers, maps):
        value = array(each)
        if isinstance(layer, torch.nn.Conv2d):
            value = np.einsum("bchw,dc->bdhw", value, array(layer.weight)[:, :, 0, 0]) + array(layer.bias)[:, None, None]
        values.append(value)
    return values


def naive_shrunk(maps: np.ndarray, side: int) -> np.ndarray:
    size, result = maps.shape[2], np.zeros((*maps.shape[:2], side, side))
    for i in range(side):
        for j in range(side):
            rows = slice(i * size // side, math.ceil((i + 1) * size / side))
            columns = slice(j * size // side, math.ceil((j + 1) * size / side))
            result[:, :, i, j] = maps[:, :, rows, columns].mean(axis=(2, 3))
    return result


def naive_of_one_size(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    side = min(first.shape[2], second.shape[2])
    return naive_shrunk(first, side), naive_shrunk(second, side)


def test_template_and_angular_equal_naive_loops():
    given = context()
    teacher = unit(array(given["teacher_embeddings"]))
    for name, divisor in (("template", TEACHER_SIZE), ("angular", 1)):
        loss = build(name)
        student = unit(projected(loss, given["embeddings"]))
        naive = sum((s - t) ** 2 for x, y in zip(student, teacher) for s, t in zip(x, y)) / BATCH / divisor
        assert call(loss, given)[""].item() == pytest.approx(naive, rel=1e-5)


def test_pocketnets_and_vargfacenets_weights_are_their_published_forms():
    """100 * MSE of unit embeddings is 100 / D of the squared distance, 100 * 2 / D at right angles; 7 * (2 - 2 cosine)."""
    embeddings, teacher = torch.eye(4, 128)[:2] * 3, torch.eye(4, 128)[2:]
    terms = [{"name": "template", "weight": 100}, {"name": "angular", "weight": 7}]
    objective = build_objective(terms, 128, IDENTITIES, ("embeddings", "teacher_embeddings"), teacher_size=128)
    values = objective(embeddings=embeddings, teacher_embeddings=teacher)
    assert {key: value.item() for key, value in values.items()} == pytest.approx({"template": 1.5625, "angular": 14.0})
    assert not list(objective.parameters())


def test_a_projection_stands_where_sizes_differ_or_where_it_is_asked_for():
    for name in ("template", "angular", "embedding_mse", "embedding_labels"):
        assert isinstance(build(name, teacher_size=SIZE).projection.layer, torch.nn.Identity)
        assert build(name, teacher_size=SIZE, projection=True).projection.layer.weight.shape == (SIZE, SIZE)
        assert build(name).projection.layer.weight.shape == (TEACHER_SIZE, SIZE)


def test_the_terms_of_the_ntu_teacher_student_system_are_its_sum():
    """mean((s_embed - t)^2) + CE(softmax t, softmax s_pred) + CE(softmax t, softmax s_logits) / 2 + CE(labels, s_logits), but
    for the entropy of the teacher's labels, which has no gradient."""
    terms = [
        {"name": "softmax", "smoothing": 0, "norm": "none"},
        "embedding_labels",
        {"name": "soft_targets", "temperature": 1, "weight": 0.5},
    ]
    names = ("embeddings", "labels", "teacher_embeddings", "teacher_logits")
    objective = build_objective(terms, SIZE, IDENTITIES, names, teacher_size=TEACHER_SIZE)
    given = {key: value for key, value in context().items() if key in names}
    loss = sum(objective(**given).values())
    labels = objective.losses["embedding_labels"]
    student = projected(labels, given["embeddings"])
    predicted = student @ array(labels.classifier.weight).T + array(labels.classifier.bias)
    classifier = objective.losses["softmax"].classifier
    logits = array(given["embeddings"]) @ array(classifier.weight).T + array(classifier.bias)
    soft = softmax(array(given["teacher_logits"]))

    def cross_entropy(target: np.ndarray, logits: np.ndarray) -> float:
        return float(-(target * np.log(softmax(logits))).sum(axis=1).mean())

    naive = ((student - array(given["teacher_embeddings"])) ** 2).mean()
    naive += cross_entropy(soft, predicted) + 0.5 * cross_entropy(soft, logits)
    naive += cross_entropy(np.eye(IDENTITIES)[LABELS], logits)
    entropy = -(soft * np.log(soft)).sum(axis=1).mean()
    assert loss.item() == pytest.approx(naive - 1.5 * entropy, rel=1e-5)


def test_embedding_mse_is_the_mean_over_batch_and_dimensions():
    loss, given = build("embedding_mse"), context()
    naive = ((projected(loss, given["embeddings"]) - array(given["teacher_embeddings"])) ** 2).mean()
    assert call(loss, given)[""].item() == pytest.approx(naive, rel=1e-5)


def test_the_parts_of_embedding_labels_have_a_factor_and_a_temperature():
    plain, given = build("embedding_labels"), context()
    other = build("embedding_labels", labels=3.0, temperature=2.0)
    other.load_state_dict(plain.state_dict())
    logits = projected(plain, given["embeddings"]) @ array(plain.classifier.weight).T + array(plain.classifier.bias)
    p, q = softmax(array(given["teacher_logits"]) / 2), softmax(logits / 2)
    parts = call(other, given)
    assert parts["mse"].item() == call(plain, given)["mse"].item()
    assert parts["labels"].item() == pytest.approx(3 * 4 * (p * np.log(p / q)).sum(axis=1).mean(), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_targets_equal_a_naive_divergence(temperature):
    given = context()
    p = softmax(array(given["teacher_logits"]) / temperature)
    q = softmax(array(given["scaled_logits"]) / temperature)
    naive = 0.0
    for i in range(BATCH):
        naive += temperature**2 * sum(p[i, c] * math.log(p[i, c] / q[i, c]) for c in range(IDENTITIES)) / BATCH
    assert call(build("soft_targets", temperature=temperature), given)[""].item() == pytest.approx(naive, rel=1e-5)
    assert build("soft_targets").temperature == 4.0


@pytest.mark.parametrize("head, factor", [({"name": "arcface", "scale": 20.0}, 20.0), ({"name": "softmax", "norm": "none"}, 1.0)])
def test_soft_targets_see_the_logits_of_a_head_as_it_scales_them(head, factor):
    """A teacher's objective gives them in the same way."""
    terms = [head, {"name": "soft_targets", "temperature": 1}]
    objective = build_objective(terms, SIZE, IDENTITIES, ("embeddings", "labels", "teacher_logits"))
    classifier, given = objective.losses[head["name"]], context()
    logits = factor * classifier.logits(given["embeddings"])
    assert torch.equal(objective.scaled_logits(given["embeddings"]), logits)
    p, q = softmax(array(given["teacher_logits"])), softmax(array(logits))
    term = objective(**{key: given[key] for key in ("embeddings", "labels", "teacher_logits")})["soft_targets"]
    assert term.item() == pytest.approx((p * np.log(p / q)).sum(axis=1).mean(), rel=1e-4)


def test_scaled_logits_of_adacos_follow_its_scale_and_survive_its_next_step():
    objective = build_objective(["adacos"], SIZE, IDENTITIES)
    embeddings = torch.randn(BATCH, SIZE, requires_grad=True)
    before = objective.scaled_logits(embeddings)
    objective(embeddings=embeddings, labels=LABELS)
    before.sum().backward()  # with the scale that it was computed with
    cosines = objective.losses["adacos"].logits(embeddings)
    assert torch.allclose(objective.scaled_logits(embeddings), objective.losses["adacos"].adapted * cosines)
    assert not torch.allclose(objective.scaled_logits(embeddings), before)


def test_scaled_logits_need_one_classifier():
    with pytest.raises(InputError, match="0 classifiers; .*exactly one"):
        build_objective(["triplet"], SIZE, IDENTITIES).scaled_logits(torch.zeros(2, SIZE))


def test_pkt_equals_a_naive_divergence_of_neighbour_probabilities():
    given = context()

    def probabilities(embeddings: Tensor) -> np.ndarray:
        rows, result = unit(array(embeddings)), np.zeros((BATCH, BATCH))
        for i in range(BATCH):
            for j in range(BATCH):
                result[i, j] = (rows[i] @ rows[j] + 1) / 2 if i != j else 0.0
            result[i] /= result[i].sum()
        return result

    p, q = probabilities(given["teacher_embeddings"]), probabilities(given["embeddings"])
    naive = sum(p[i, j] * math.log(p[i, j] / q[i, j]) for i in range(BATCH) for j in range(BATCH) if i != j) / BATCH
    assert call(build("pkt"), given)[""].item() == pytest.approx(naive, rel=1e-3)  # 1e-6 is added to every affinity


def naive_relations(embeddings: np.ndarray) -> tuple[dict, dict]:
    """Distances over their mean, of all ordered pairs, and cosines at the second of all ordered threes."""
    count = len(embeddings)
    pairs = [(i, j) for i in range(count) for j in range(count) if i != j]
    lengths = {(i, j): math.dist(embeddings[i], embeddings[j]) for i, j in pairs}
    mean = sum(lengths.values()) / len(lengths)
    angles = {}
    for i, j in pairs:
        for k in set(range(count)) - {i, j}:
            legs = (embeddings[i] - embeddings[j], embeddings[k] - embeddings[j])
            angles[i, j, k] = legs[0] @ legs[1] / (np.linalg.norm(legs[0]) * np.linalg.norm(legs[1]))
    return {pair: length / mean for pair, length in lengths.items()}, angles


@pytest.mark.parametrize("normalise", [False, True])
def test_relational_equals_naive_loops(normalise):
    given = context()
    student, teacher = array(given["embeddings"]), array(given["teacher_embeddings"])
    if normalise:
        student, teacher = unit(student), unit(teacher)
    (distances, angles), (wanted, wanted_angles) = naive_relations(student), naive_relations(teacher)
    parts = call(build("relational", distances=3.0, angles=5.0, normalise=normalise), given)
    naive = 3 * np.mean([huber(distances[pair] - wanted[pair]) for pair in wanted])
    naive_angles = 5 * np.mean([huber(angles[three] - wanted_angles[three]) for three in wanted_angles])
    assert parts["distances"].item() == pytest.approx(naive, rel=1e-5)
    assert parts["angles"].item() == pytest.approx(naive_angles, rel=1e-5)


def test_angles_are_the_same_a_few_images_at_a_time_and_never_all_at_once(monkeypatch):
    loss, given, largest = build("relational"), context(), []
    cosines_at = relational_module.cosines_at

    def watched(rows: Tensor, vertices: slice) -> Tensor:
        values = cosines_at(rows, vertices)
        largest.append(values.numel())
        return values

    def value_and_gradient() -> tuple[Tensor, Tensor]:
        angles = call(loss, given)["angles"]
        return angles, torch.autograd.grad(angles, given["embeddings"])[0]

    monkeypatch.setattr(relational_module, "cosines_at", watched)
    whole, gradient = value_and_gradient()
    assert max(largest) == BATCH**3
    largest.clear()
    monkeypatch.setattr(relational_module, "MOST_AT_ONCE", 2 * BATCH**2)
    value, of_parts = value_and_gradient()
    assert max(largest) == 2 * BATCH**2
    assert torch.allclose(value, whole) and torch.allclose(of_parts, gradient, atol=1e-6)


@pytest.mark.parametrize("size, count", [(7, 4), (8, 4), (6, 5), (3, 1), (4, 4)])
def test_maps_are_shrunk_as_adaptive_pooling_shrinks_them(size, count):
    maps = torch.randn(2, 3, size, size + 1, dtype=torch.float64)
    assert torch.allclose(shrunk(maps, count, 2), functional.adaptive_avg_pool2d(maps, (count, 2)))


def test_the_larger_of_two_maps_is_shrunk_side_by_side():
    first, second = of_one_size(torch.randn(2, 3, 8, 4), torch.randn(2, 5, 6, 6))
    assert first.shape == (2, 3, 6, 4) and second.shape == (2, 5, 6, 4)


def test_fitnet_equals_naive_means():
    loss, given = build("fitnet"), context()
    naive = []
    for student, teacher in zip(regressed(loss, given["maps"]), map(array, given["teacher_maps"])):
        student, teacher = naive_of_one_size(student, teacher)
        naive.append(((student - teacher) ** 2).mean())
    assert call(loss, given)[""].item() == pytest.approx(sum(naive) / 3, rel=1e-5)
    assert [isinstance(layer, torch.nn.Conv2d) for layer in loss.regressors.layers] == [True, False, True]


def test_fsp_equals_naive_loops():
    loss, given = build("fsp"), context(batch=3)

    def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        first, second = naive_of_one_size(first, second)
        count, side = len(first), first.shape[2]
        matrix = np.zeros((count, first.shape[1], second.shape[1]))
        for b in range(count):
            for c in range(first.shape[1]):
                for d in range(second.shape[1]):
                    matrix[b, c, d] = (first[b, c] * second[b, d]).sum() / side**2
        return matrix

    student, teacher = regressed(loss, given["maps"]), [array(each) for each in given["teacher_maps"]]
    naive = [((flow(*student[i : i + 2]) - flow(*teacher[i : i + 2])) ** 2).mean() for i in (0, 1)]
    assert call(loss, given)[""].item() == pytest.approx(sum(naive) / 2, rel=1e-5)


def test_nst_equals_naive_loops():
    given = context(batch=2)
    naive = []
    for student, teacher in zip(map(array, given["maps"]), map(array, given["teacher_maps"])):
        student, teacher = naive_of_one_size(student, teacher)
        for b in range(2):
            s, t = unit(student[b].reshape(student.shape[1], -1)), unit(teacher[b].reshape(teacher.shape[1], -1))

            def kernel(first: np.ndarray, second: np.ndarray) -> float:
                return sum((x @ y) ** 2 for x in first for y in second) / (len(first) * len(second))

            naive.append(kernel(s, s) + kernel(t, t) - 2 * kernel(s, t))
    assert call(build("nst"), given)[""].item() == pytest.approx(sum(naive) / len(naive), rel=1e-5)


def test_factor_transfer_compares_unit_factors_and_teaches_the_paraphraser():
    loss, given = build("factor_transfer", rate=0.5, transfer=7.0).double().eval(), context()
    given |= {key: [each.double() for each in given[key]] for key in ("maps", "teacher_maps")}
    transfers, errors = [], []
    for i, (student, teacher) in enumerate(zip(given["maps"], given["teacher_maps"])):
        factor, said = loss.encoders[i](teacher), loss.translators[i](student)
        assert factor.shape[1] == said.shape[1] == round(0.5 * MAP_CHANNELS[i][1])
        errors.append(((array(loss.decoders[i](factor)) - array(teacher)) ** 2).mean())
        said, factor = naive_of_one_size(array(said), array(factor))
        transfers.append(np.abs(unit(said.reshape(BATCH, -1)) - unit(factor.reshape(BATCH, -1))).mean())
    parts = call(loss, given)
    assert parts["transfer"].item() == pytest.approx(7 * np.mean(transfers), rel=1e-6)
    assert parts["paraphraser"].item() == pytest.approx(np.mean(errors), rel=1e-6)
    by_transfer = torch.autograd.grad(parts["transfer"], list(loss.encoders.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in by_transfer)  # the teacher does not come to meet the student
    by_error = torch.autograd.grad(parts["paraphraser"], list(loss.translators.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in by_error)


@pytest.mark.parametrize("bank", [0, 16])
@pytest.mark.parametrize("k, temperature", [(3, 1.0), (4, 2.0), (100, 1.0)])
def test_neighbours_equal_a_naive_loop(k, temperature, bank):
    """Over three steps: soft labels of the nearest embeddings in the batch and of the last 16 before it."""
    loss, earlier = build("neighbours", k=k, temperature=temperature, bank=bank), []
    for _ in range(3):
        given = context()
        rows, p = unit(array(given["embeddings"])), softmax(array(given["scaled_logits"]) / temperature)
        naive = 0.0
        for i in range(BATCH):
            candidates = [(rows[i] @ rows[j], int(LABELS[j])) for j in range(BATCH) if j != i]
            candidates += [(rows[i] @ row, label) for row, label in earlier[-bank:] if bank]
            labels = [label for _, label in sorted(candidates, reverse=True)[:k]]
            q = np.bincount(labels, minlength=IDENTITIES) / len(labels)
            naive += temperature**2 * sum(q[c] * math.log(q[c] / p[i, c]) for c in range(IDENTITIES) if q[c]) / BATCH
        assert call(loss, given)[""].item() == pytest.approx(naive, rel=1e-5)
        earlier += [(row, int(label)) for row, label in zip(rows, LABELS)]


def test_what_neighbours_remember_moves_in_training_alone_and_survives_a_checkpoint():
    loss, given = build("neighbours", bank=12, warmup=2), context()
    assert [call(loss, given)[""].item() for _ in range(2)] == [0.0, 0.0]
    before = {key: value.clone() for key, value in loss.named_buffers()}
    assert before["written"] == 18 and before["steps"] == 2 and (before["bank_labels"] >= 0).all()
    value = call(loss.eval(), given)[""].item()
    assert value > 0 and all(torch.equal(before[key], each) for key, each in loss.named_buffers())
    other = build("neighbours", bank=12, warmup=2)
    other.load_state_dict(loss.state_dict())
    following = context()
    for each in (loss.train(), other.train()):
        call(each, following)
    assert call(loss, given)[""].item() == call(other, given)[""].item()
    assert not torch.equal(loss.bank, before["bank"])


def test_a_bank_smaller_than_the_batch_keeps_the_last_of_it():
    loss, given = build("neighbours", bank=4), context()
    call(loss, given)
    assert sorted(loss.bank_labels.tolist()) == sorted(LABELS[-4:].tolist())
    kept = functional.normalize(given["embeddings"].detach()[-4:])
    assert torch.allclose(loss.bank.sum(dim=0), kept.sum(dim=0), atol=1e-6)


def test_neighbours_have_no_gradient_but_through_the_logits():
    loss, given = build("neighbours"), context()
    call(loss, given)[""].backward()
    assert given["embeddings"].grad is None and given["scaled_logits"].grad.abs().sum() > 0


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"neighbours", "factor_transfer"}))
def test_a_student_that_says_what_its_teacher_says_has_no_loss_and_no_gradient(name):
    """Up to rounding, which is largest beside the unit square root."""
    channels = [(6, 6), (5, 5)]
    loss = build(name, teacher_size=SIZE, map_channels=channels)
    student = {
        "embeddings": torch.randn(BATCH, SIZE, requires_grad=True),
        "scaled_logits": torch.randn(BATCH, IDENTITIES, requires_grad=True),
        "maps": [torch.randn(BATCH, c, 5, 5, requires_grad=True) for c, _ in channels],
    }
    given = {**student, **{f"teacher_{key.replace('scaled_', '')}": value for key, value in student.items()}}
    parts = call(loss, given)
    parts.pop("labels", None)  # of a classifier of its own
    total = sum(parts.values())
    total.backward()
    assert total.item() == pytest.approx(0.0, abs=1e-6)
    for each in tensors(student, teacher=False):
        assert each.grad is None or each.grad.abs().max() < 1e-5


@pytest.mark.parametrize(
    "name", ["template", "angular", "embedding_mse", "embedding_labels", "soft_targets", "fitnet", "fsp", "nst"]
)
def test_the_mean_of_two_halves_is_the_whole_where_images_count_alone(name):
    loss, given = build(name), context(batch=8)
    halves = [
        {key: [each[rows] for each in value] if isinstance(value, list) else value[rows] for key, value in given.items()}
        for rows in (slice(4), slice(4, 8))
    ]
    whole, parts = call(loss, given), [call(loss, half) for half in halves]
    for key, value in whole.items():
        assert value.item() == pytest.approx(sum(part[key].item() for part in parts) / 2, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_student_and_what_is_thrown_away_and_never_the_teacher(name):
    loss, given = build(name), context()
    sum(call(loss, given).values()).backward()
    assert all(each.grad is None for each in tensors(given, teacher=True))
    assert all(parameter.grad.abs().sum() > 0 for parameter in loss.parameters())
    asked = set(inspect.signature(loss.forward).parameters) & {"embeddings", "scaled_logits", "maps"}
    asked -= {"embeddings"} if name == "neighbours" else set()
    reached = tensors({key: given[key] for key in asked}, teacher=False)
    assert reached and all(each.grad.abs().sum() > 0 for each in reached)


DEGENERATE = {
    "equal": lambda values: torch.ones_like(values),
    "equal to the first": lambda values: values[:1].repeat(len(values), *[1] * (values.ndim - 1)),
    "zero": torch.zeros_like,
    "two alike": lambda values: torch.cat([values[:1], values[:-1]]),
    "opposite": lambda values: torch.cat([values[:1], -values[:1], values[2:]]),
    "far": lambda values: values * 1e4,
}


@pytest.mark.parametrize("batch, dtype", [(2, torch.float32), (2, torch.bfloat16), (BATCH, torch.float32)])
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_finite_whatever_they_are_given(name, batch, dtype):
    """Of a student, a teacher, or both that collapsed."""
    for make in DEGENERATE.values():
        for of_the_student, of_the_teacher in ((True, False), (False, True), (True, True)):
            given, loss = context(batch), build(name, **({"bank": 4} if name == "neighbours" else {}))

            def made(key: str, values: Tensor, chosen: tuple = (of_the_student, of_the_teacher), make=make) -> Tensor:
                values = make(values.detach()) if chosen[key.startswith("teacher_")] else values.detach()
                return values.to(dtype).requires_grad_()

            for key, value in given.items():
                if key != "labels":
                    given[key] = [made(key, each) for each in value] if isinstance(value, list) else made(key, value)
            parts = call(loss, given)
            assert all(value.isfinite() and value.dtype == torch.float32 for value in parts.values())
            sum(parts.values()).backward()
            gradients = [each.grad for each in [*tensors(given, teacher=False), *loss.parameters()] if each.grad is not None]
            assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_two_equal_images_have_no_huge_gradient_of_angles():
    """Where the difference of two embeddings has no direction, a quotient by its length must not stand in for one."""
    given = context()
    given["embeddings"] = torch.cat([given["embeddings"][:1], given["embeddings"][:-1]]).detach().requires_grad_()
    sum(call(build("relational"), given).values()).backward()
    assert given["embeddings"].grad.abs().max() < 10


@pytest.mark.parametrize(
    "name", ["template", "angular", "embedding_mse", "embedding_labels", "soft_targets", "pkt", "relational"]
)
def test_a_term_of_a_teacher_says_which_recipe_has_one(name):
    with pytest.raises(InputError, match=f"^loss term '{name}' needs a teacher.*; train.recipe should be distill"):
        build_objective(["softmax", name], SIZE, IDENTITIES)


@pytest.mark.parametrize("given", [{}, {"map_channels": []}, {"map_channels": None}])
@pytest.mark.parametrize("name", OF_MAPS)
def test_a_term_of_maps_says_which_recipe_has_them(name, given):
    provided = ("embeddings", "labels", "teacher_embeddings", "teacher_logits")
    with pytest.raises(InputError, match=f"^loss term '{name}' needs maps .*; train.recipe should be distill, and say which"):
        build_objective([name], SIZE, IDENTITIES, provided, teacher_size=TEACHER_SIZE, **given)


@pytest.mark.parametrize(
    "term, message",
    [
        ({"name": "template", "teacher_size": 4}, "'template' has no option teacher_size; it takes: projection"),
        ({"name": "template", "projection": 1}, "option projection is 1, .*boolean"),
        ({"name": "fitnet", "map_channels": [[1, 2]]}, "'fitnet' has no option map_channels; it takes: none"),
        ({"name": "soft_targets", "temperature": 0}, "temperature is 0, .*greater than or equal to 0.01"),
        ({"name": "embedding_labels", "labels": -1}, "labels is -1, .*greater than or equal to 0"),
        ({"name": "relational", "angles": -1}, "angles is -1"),
        ({"name": "factor_transfer", "rate": 2}, "rate is 2, .*less than or equal to 1"),
        ({"name": "neighbours", "k": 0}, "k is 0, .*greater than or equal to 1"),
        ({"name": "neighbours", "bank": 10**12}, "bank is 1000000000000, .*less than or equal to 1000000"),
        ({"name": "neighbours", "warmup": -1}, "warmup is -1"),
    ],
)
def test_wrong_options_are_one_sentence(term, message):
    with pytest.raises(InputError, match=message):
        provided = ("embeddings", "labels", "maps", "teacher_embeddings", "teacher_logits", "teacher_maps")
        build_objective(["softmax", term], SIZE, IDENTITIES, provided, teacher_size=TEACHER_SIZE, map_channels=MAP_CHANNELS)


def test_fsp_needs_two_maps():
    with pytest.raises(InputError, match="'fsp' looks at steps from map to map, and there is only one map; name at least two"):
        build("fsp", map_channels=[(4, 4)])


def test_soft_targets_and_neighbours_need_a_classifier():
    for name in ("soft_targets", "neighbours"):
        with pytest.raises(InputError, match=f"'{name}' asks for logits, and 0 of the terms have a classifier"):
            build_objective([name], SIZE, IDENTITIES, ("embeddings", "labels", "teacher_logits"))


def test_an_objective_says_what_of_a_teacher_its_terms_ask_for():
    provided = ("embeddings", "labels", "teacher_embeddings", "teacher_logits")
    objective: Objective = build_objective(["softmax", "soft_targets"], SIZE, IDENTITIES, provided, teacher_size=4)
    assert objective.asks_for("teacher_logits") and not objective.asks_for("teacher_embeddings")
