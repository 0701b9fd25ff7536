"""Schedules at their corners, optimisers by name."""

import copy

import pytest
import torch
from torch import nn

from common.errors import InputError
from training.ema import WeightAverage
from training.muon import orthogonal
from training.optimisers import OPTIMIZERS, clip_gradients, set_learning_rate
from training.schedules import SCHEDULES


def test_one_cycle_rises_and_falls():
    schedule = SCHEDULES.build({"name": "one_cycle", "warmup": 0.25, "start": 0.1, "end": 0.01}, epochs=8)
    assert schedule(0) == pytest.approx(0.1) and schedule(2) == pytest.approx(1.0) and schedule(8) == pytest.approx(0.01)
    values = [schedule(epoch / 10) for epoch in range(81)]
    assert values[:21] == sorted(values[:21]) and values[20:] == sorted(values[20:], reverse=True)


def test_one_cycle_is_the_librarys():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=41, pct_start=0.25, div_factor=25, final_div_factor=40
    )
    ours = SCHEDULES.build({"name": "one_cycle", "warmup": 0.2, "start": 0.04, "end": 0.001}, epochs=4)
    # The library counts steps from 0 to total - 1 and ends its rise at pct_start * total - 1.
    rise = 0.25 * 41 - 1
    for step in range(41):
        share = 0.2 * step / rise if step <= rise else 0.2 + 0.8 * (step - rise) / (40 - rise)
        assert ours(4 * share) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        if step < 40:
            reference.step()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_descends(name):
    weight = torch.nn.Parameter(torch.ones(3, 3))
    bias = torch.nn.Parameter(torch.ones(3))
    kernel = torch.nn.Parameter(torch.ones(3, 3, 1, 1))
    optimizer = OPTIMIZERS.build({"name": name}, groups=[{"params": [weight, bias, kernel]}], lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        loss = sum(parameter.square().sum() for parameter in (weight, bias, kernel))
        loss.backward()
        optimizer.step()
    assert all(parameter.abs().max() < 1 for parameter in (weight, bias, kernel))


def test_adamw_spares_vectors_from_decay():
    weight, bias = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    optimizer = OPTIMIZERS.build({"name": "adamw", "weight_decay": 0.5}, groups=[{"params": [weight, bias]}], lr=0.1)
    weight.grad, bias.grad = torch.zeros(2, 2), torch.zeros(2)
    optimizer.step()
    assert weight[0, 0].item() == pytest.approx(0.95) and bias[0].item() == 1.0


@pytest.mark.parametrize("shape", [(2, 24, 8), (2, 8, 24), (1, 16, 16)])
def test_orthogonal_keeps_the_directions_and_evens_out_their_lengths(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    made = orthogonal(matrices, rounds=5)
    assert made.dtype == matrices.dtype
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inside = left.mT @ made @ right.mT  # diagonal, if the singular vectors are the same
    lengths = inside.diagonal(dim1=1, dim2=2)
    assert lengths.min() > 0.5 and lengths.max() < 1.3
    assert (inside - torch.diag_embed(lengths)).abs().max() < 0.05


def test_fewer_rounds_leave_the_short_directions_short():
    matrix = torch.diag(torch.tensor([1.0, 0.5, 0.1, 0.003]))[None]
    three, five = (orthogonal(matrix, rounds)[0].diagonal() for rounds in (3, 5))
    assert torch.allclose(three[:3], torch.ones(3), atol=0.35) and torch.allclose(five[:3], torch.ones(3), atol=0.35)
    assert three[3] < 0.2 and five[3] > 0.6


def test_muon_is_adam_but_for_matrices():
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6), nn.Flatten(), nn.LazyLinear(5))]
    images = torch.randn(4, 3, 5, 5)
    layers[0](images)
    layers.append(copy.deepcopy(layers[0]))
    start = layers[0][1].weight.detach().clone()
    for name, layer in zip(("adam", "muon"), layers, strict=True):
        optimizer = OPTIMIZERS.build({"name": name}, groups=[{"params": list(layer.parameters())}], lr=0.01)
        layer(images).square().sum().backward()
        optimizer.step()
    for (name, expected), actual in zip(layers[0].named_parameters(), layers[1].parameters(), strict=True):
        assert torch.equal(actual, expected) == (name != "1.weight"), name
    moved = torch.linalg.svdvals((start - layers[1][1].weight.detach()).flatten(1))
    assert torch.allclose(moved / (0.01 * 6**0.5), torch.ones(4), atol=0.35)


def test_matrices_take_turns_with_longer_steps():
    def moves(every, steps):
        weights = [nn.Parameter(torch.linspace(-1, 1, 24).view(6, 4, 1, 1)) for _ in range(4)]
        start = weights[0].detach().clone()
        optimizer = OPTIMIZERS.build({"name": "muon", "every": every}, groups=[{"params": weights}], lr=1e-4)
        for _ in range(steps):
            for weight in weights:
                weight.grad = weight.detach().sin()
            optimizer.step()
        return [weight.detach() - start for weight in weights]

    assert [bool(move.any()) for move in moves(every=2, steps=1)] in ([True, False] * 2, [False, True] * 2)
    for usual, longer in zip(moves(every=1, steps=6), moves(every=2, steps=6), strict=True):  # three steps each twice as long
        assert torch.allclose(longer, usual, rtol=0.01, atol=1e-6) and not torch.equal(longer, usual)


@pytest.mark.parametrize("every", [1, 2])
def test_a_restored_muon_goes_on_as_before(every):
    def steps(weights, optimizer, count):
        for _ in range(count):
            for weight in weights:
                weight.grad = weight.detach().sin()
            optimizer.step()

    weights = [nn.Parameter(torch.linspace(-1, 1, 24).view(6, 4, 1, 1)) for _ in range(2)] + [nn.Parameter(torch.ones(3))]
    optimizer = OPTIMIZERS.build({"name": "muon", "every": every}, groups=[{"params": weights}], lr=0.01)
    steps(weights, optimizer, 3)
    copies = [nn.Parameter(weight.detach().clone()) for weight in weights]
    restored = OPTIMIZERS.build({"name": "muon", "every": every}, groups=[{"params": copies}], lr=0.01)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    steps(weights, optimizer, 3)
    steps(copies, restored, 3)
    assert all(torch.equal(*pair) for pair in zip(weights, copies, strict=True))


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"name": "adan"}, "known: adam, adamw, muon, sgd"),
        ({}, "should be a name, or"),
        ({"name": "adam", "momentum": 0.9}, "it takes: weight_decay, beta1, beta2"),
        ({"name": "muon", "rounds": 0}, "rounds is 0, .*greater than or equal to 1"),
        ({"name": "muon", "every": 0}, "every is 0, .*greater than or equal to 1"),
    ],
)
def test_wrong_optimizers_are_named(spec, message):
    with pytest.raises(InputError, match=message):
        OPTIMIZERS.build(spec, groups=[{"params": [torch.nn.Parameter(torch.ones(1))]}], lr=0.1)


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"name": "steps"}, "known: constant"),
        ({"name": "one_cycle", "warmup": 0}, "warmup is 0, .*greater than 0"),
        ({"name": "multistep"}, "milestones"),
    ],
)
def test_wrong_schedules_are_named(spec, message):
    with pytest.raises(InputError, match=message):
        SCHEDULES.build(spec, epochs=3)


def leaves(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    """Parameters of these shapes with a gradient."""
    generator = torch.Generator().manual_seed(5)
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return parameters


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_groups_lr_scale_is_a_learning_rate_of_its_own(name):
    """Two groups in one optimiser move as in two optimisers, the second of which has the rate times the scale."""
    shapes = ((3, 3), (3,), (6, 4, 1, 1))
    together, apart = (leaves(*shapes, *shapes) for _ in range(2))
    groups = [{"params": together[:3]}, {"params": together[3:], "lr_scale": 0.1}]
    one = OPTIMIZERS.build(name, groups=groups, lr=1.0)
    set_learning_rate(one, 0.02)
    one.step()
    for part, rate in ((apart[:3], 0.02), (apart[3:], 0.002)):
        OPTIMIZERS.build(name, groups=[{"params": part}], lr=rate).step()
    for index, (a, b) in enumerate(zip(together, apart, strict=True)):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-7), index
    assert not torch.equal(together[0], leaves(*shapes)[0])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_a_groups_weight_decay_is_its_own(name):
    plain, decayed = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    groups = [{"params": [plain], "weight_decay": 0.0}, {"params": [decayed]}]
    optimizer = OPTIMIZERS.build({"name": name, "weight_decay": 0.5}, groups=groups, lr=0.1)
    plain.grad, decayed.grad = torch.zeros(2, 2), torch.zeros(2, 2)
    optimizer.step()
    assert torch.equal(plain, torch.ones(2, 2)) and (decayed < 1).all()


def test_gradients_are_clipped_together_and_a_groups_own_clip_by_itself():
    first, second, own, free = leaves((4, 3), (5,), (7,), (2, 2))
    before = [parameter.grad.clone() for parameter in (first, second, own, free)]
    groups = [{"params": [first]}, {"params": [second]}, {"params": [own], "clip": 0.25}, {"params": [free], "clip": 0.0}]
    clip_gradients(OPTIMIZERS.build("sgd", groups=groups, lr=1.0), limit=0.5)
    length = torch.cat([before[0].flatten(), before[1]]).norm()
    assert length > 0.5 and before[2].norm() > 0.25
    assert torch.allclose(first.grad, before[0] * 0.5 / length) and torch.allclose(second.grad, before[1] * 0.5 / length)
    assert torch.allclose(own.grad, before[2] * 0.25 / before[2].norm()) and torch.equal(free.grad, before[3])


@pytest.mark.parametrize("limit", [0.0, 1e3])
def test_short_gradients_and_no_limit_leave_everything(limit):
    weights = leaves((4, 3), (5,))
    before = [weight.grad.clone() for weight in weights]
    clip_gradients(OPTIMIZERS.build("sgd", groups=[{"params": weights}], lr=1.0), limit)
    assert all(torch.allclose(weight.grad, grad, rtol=1e-6, atol=0) for weight, grad in zip(weights, before, strict=True))


def networks(count: int) -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train() for _ in range(count)]


def test_weight_average_equals_a_naive_loop():
    trained, *steps = networks(26)
    average = WeightAverage(trained, decay=0.6)
    expected = {name: value.double().clone() for name, value in trained.state_dict().items()}
    for done, step in enumerate(steps):
        step[1](torch.randn(5, 4))  # running statistics and their counter move
        average.update(step)
        decay = min(0.6, (1 + done) / (10 + done))
        for name, value in step.state_dict().items():
            floating = value.is_floating_point()
            expected[name] = decay * expected[name] + (1 - decay) * value.double() if floating else value.double()
    for name, value in average.network.state_dict().items():
        assert torch.allclose(value.double(), expected[name], rtol=1e-4, atol=1e-6), name
    assert int(average.steps) == 25 and not any(weight.requires_grad for weight in average.parameters())


def test_an_average_is_applied_for_a_while_only():
    network, other = networks(2)
    average = WeightAverage(network, decay=0.9)
    average.update(other)
    own = copy.deepcopy(network.state_dict())
    with pytest.raises(KeyError), average.applied_to(network):
        assert all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), average.network.state_dict().values()))
        assert not torch.equal(network[0].weight, own["0.weight"])
        raise KeyError
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())
    assert all(weight.requires_grad for weight in network.parameters())


def test_a_restored_average_goes_on_as_before():
    network, *steps = networks(9)
    whole, part, restored = (WeightAverage(network, decay=0.9) for _ in range(3))
    for step in steps:
        whole.update(step)
    for step in steps[:4]:
        part.update(step)
    restored.load_state_dict(copy.deepcopy(part.state_dict()))
    for step in steps[4:]:
        restored.update(step)
    pairs = zip(whole.state_dict().values(), restored.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_every_schedule_is_registered_with_a_sentence():
    assert all(entry.__doc__ for entry in [*SCHEDULES.values(), *OPTIMIZERS.values()])
