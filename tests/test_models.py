"""Backbones, embedder and weight files."""

import functools
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from config import ModelConfig
from errors import InputError
from models.backbones import BACKBONES
from models.convolution import Conv2d
from models.embedder import build_backbone, build_embedder, parameter_count
from models.precision import mixed_precision
from models.pretext import PretextModel
from models.weights import fill, load_weights, save_weights, start_from

SMALL = ModelConfig(backbone="small", embedding_size=8, image_size=32)


def test_the_shipped_embedder_has_exactly_4663420_parameters():
    embedder = build_embedder(ModelConfig())
    assert parameter_count(embedder) == 4_663_420
    assert parameter_count(embedder.backbone) == 4_007_548


def test_a_larger_embedder_is_refused():
    with pytest.raises(InputError, match="4,663,420 parameters, more than model.max_parameters = 4,663,419"):
        build_embedder(ModelConfig(max_parameters=4_663_419))


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_every_backbone_trains_one_step(name):
    torch.manual_seed(0)
    embedder = build_embedder(ModelConfig(backbone=name, embedding_size=8, image_size=32))
    optimizer = torch.optim.SGD(embedder.parameters(), lr=0.1)
    before = {key: value.clone() for key, value in embedder.state_dict().items()}
    embeddings = embedder(torch.randn(4, 3, 32, 32))
    assert embeddings.shape == (4, 8) and embedder.backbone(torch.randn(2, 3, 32, 32)).shape == (
        2,
        embedder.backbone.out_channels,
    )
    embeddings.square().mean().backward()
    optimizer.step()
    after = embedder.state_dict()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in embedder.parameters())
    assert all((before[key] != after[key]).any() for key, value in embedder.named_parameters() if value.grad.abs().sum() > 0)


@pytest.mark.parametrize("size", [112, 96, 64, 100, 75])
def test_faster_padding_and_swish_compute_the_packages_own_function(size):
    from efficientnet_pytorch import EfficientNet

    torch.manual_seed(0)
    ours = build_backbone(ModelConfig(image_size=size)).eval()
    reference = EfficientNet.from_name("efficientnet-b0", image_size=size, include_top=False).eval()
    reference.load_state_dict({name.removeprefix("network."): value for name, value in ours.state_dict().items()})
    images = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.allclose(ours(images), reference(images).flatten(1), atol=1e-5)


def test_unknown_backbone_lists_the_known_ones():
    with pytest.raises(InputError, match="unknown backbone 'resnet'; known: efficientnet_b0, small"):
        build_embedder(ModelConfig(backbone="resnet"))


def test_weight_files_round_trip_and_are_byte_stable(tmp_path):
    embedder = build_embedder(SMALL)
    about = {"config": {"model": {"backbone": "small"}}, "validation": {"thresholds": {"plain": 0.25}}}
    first = save_weights(tmp_path / "a.pt", "embedder", embedder.state_dict(), about)
    second = save_weights(tmp_path / "another-name.pt", "embedder", embedder.state_dict(), about)
    assert first.read_bytes() == second.read_bytes()
    content = load_weights(first)
    assert content["about"] == about and content["kind"] == "embedder"
    other = build_embedder(SMALL)
    fill(other, content["state"], "x")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in embedder.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt", "another-name.pt"] or len(list(tmp_path.iterdir())) == 2


def test_pretext_backbone_starts_an_embedder(tmp_path):
    pretext = PretextModel(build_backbone(SMALL), {"angle": 3})
    path = save_weights(tmp_path / "p.pt", "pretext", pretext.state_dict(), {})
    embedder = build_embedder(SMALL)
    layer = embedder.embedding.weight.clone()
    start_from(embedder, path)
    assert all(torch.equal(value, embedder.backbone.state_dict()[name]) for name, value in pretext.backbone.state_dict().items())
    assert torch.equal(layer, embedder.embedding.weight)


def test_another_architecture_is_named(tmp_path):
    path = save_weights(tmp_path / "w.pt", "embedder", build_embedder(SMALL).state_dict(), {})
    with pytest.raises(InputError, match=r"another architecture: \d+ tensors differ \("):
        start_from(build_embedder(ModelConfig(image_size=32)), path)
    with pytest.raises(InputError, match="2 tensors differ .embedding.bias, embedding.weight"):
        start_from(build_embedder(ModelConfig(backbone="small", embedding_size=9, image_size=32)), path)
    with pytest.raises(InputError, match="holds a 'embedder' model; expected pretext"):
        load_weights(path, kinds=("pretext",))


class Trap:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_weight_file_is_executed(tmp_path):
    torch.save({"format": 1, "kind": "embedder", "about": {}, "state": Trap(tmp_path / "trapped")}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="corrupt or not a weight file"):
        load_weights(tmp_path / "w.pt")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    "content",
    [
        {},
        [1],
        {"format": 2, "kind": "embedder", "about": {}, "state": {}},
        {"format": 1, "kind": "embedder", "about": 3, "state": {"a": "b"}},
    ],
)
def test_foreign_files_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match="w.pt"):
        load_weights(tmp_path / "w.pt")


@functools.cache
def whole_weight_file() -> bytes:
    """No fixture: hypothesis would print its half million bytes with a failure."""
    with tempfile.TemporaryDirectory() as folder:
        return save_weights(Path(folder) / "w.pt", "embedder", build_embedder(SMALL).state_dict(), {}).read_bytes()


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_corrupt_weight_files_are_one_sentence(tmp_path_factory, data):
    whole = whole_weight_file()
    kind = data.draw(st.sampled_from(["cut", "flip", "random"]))
    if kind == "cut":
        content = whole[: data.draw(st.integers(0, len(whole) - 1))]
    elif kind == "flip":
        place = data.draw(st.integers(0, len(whole) - 1))
        content = whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
    else:
        content = data.draw(st.binary(max_size=200))
    path = tmp_path_factory.mktemp("corrupt") / "w.pt"
    path.write_bytes(content)
    try:
        fill(build_embedder(SMALL), load_weights(path)["state"], "w.pt")
    except InputError as error:
        assert "w.pt" in str(error)


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "side"),
    [(1, 1, 1, 9), (3, 1, 16, 9), (3, 2, 16, 9), (5, 1, 16, 9), (5, 2, 16, 10), (5, 1, 16, 3), (7, 1, 16, 11), (3, 2, 1, 9)],
)
def test_convolutions_and_their_gradients_are_those_of_the_tensor_library(kernel, stride, groups, side):
    plain = nn.Conv2d(16, 16, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=groups == 1)
    ours = Conv2d(16, 16, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=groups == 1)
    ours.load_state_dict(plain.state_dict())
    images = torch.randn(4, 16, side, side).to(memory_format=torch.channels_last)
    results = []
    for layer in (plain, ours):
        seen = images.clone().requires_grad_()
        output = layer(seen)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        results.append([output, seen.grad, *(weight.grad for weight in layer.parameters())])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_bfloat16_gradients_follow_those_in_float32():
    layers = [nn.Sequential(Conv2d(8, 32, 1), Conv2d(32, 32, 5, stride=2, padding=2, groups=32, bias=False)) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    images = torch.randn(8, 8, 12, 12)
    for name, layer in zip(("fp32", "bf16"), layers, strict=True):
        with mixed_precision(name, images.device):
            output = layer(images)
        assert output.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[name]
        output.float().square().sum().backward()
    for expected, actual in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert actual.grad.dtype == torch.float32
        assert (actual.grad - expected.grad).norm() < 0.03 * expected.grad.norm()
