"""What holds for every network and head of the registries. A new one is tested here as soon as it is registered; where its
usual size takes long, `tests.tiny.LIGHT` names a lighter one, and variants to be tested beside it."""

import functools
from copy import deepcopy
from dataclasses import asdict

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.config import ModelConfig
from common.devices import mixed_precision
from common.errors import InputError
from models.backbones import BACKBONES
from models.backbones.backbone import named_maps
from models.counts import parameter_count
from models.embedder import Embedder, build_backbone, build_embedder
from models.heads import HEADS
from models.layers.folding import folded
from models.model_file import read_embedder
from models.weights import save_weights
from tests.tiny import LIGHT, light_model

VARIANTS = sorted({*BACKBONES, *LIGHT})
NETWORKS = [(backbone, "published") for backbone in VARIANTS] + [("small", head) for head in sorted(HEADS)]


def images(config: ModelConfig, count: int) -> torch.Tensor:
    return torch.randn(count, 3, config.image_size, config.image_size)


def spread(values: torch.Tensor) -> torch.Tensor:
    """A sum that weighs every value differently, so that no gradient cancels out."""
    return (values.float() * torch.linspace(-1, 1, values.numel()).view_as(values)).sum()


@functools.cache
def trained(backbone: str, head: str) -> tuple[ModelConfig, Embedder]:
    """A light model and what it is after one step of training, in evaluation mode."""
    config = light_model(backbone, embedding_size=8, head=head)
    torch.manual_seed(0)
    embedder = build_embedder(config)
    before = {key: value.clone() for key, value in embedder.state_dict().items()}
    optimizer = torch.optim.Adam(embedder.parameters(), lr=1e-3)
    embeddings = embedder(images(config, 4))
    assert embeddings.shape == (4, 8)
    spread(embeddings).backward()
    optimizer.step()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in embedder.parameters())
    after = embedder.state_dict()
    assert all((before[key] != after[key]).any() for key, weight in embedder.named_parameters() if weight.grad.abs().sum() > 0)
    return config, embedder.eval()


@pytest.mark.parametrize(("backbone", "head"), NETWORKS)
def test_it_trains_a_step_and_comes_back_from_its_file(backbone, head, tmp_path):
    config, embedder = trained(backbone, head)
    about = {"config": {"model": asdict(config)}, "validation": {"score": 0.5}}
    shipped = read_embedder(save_weights(tmp_path / "w.pt", "embedder", embedder.state_dict(), about))
    assert shipped.about == about and shipped.model == config and shipped.parameters == parameter_count(embedder)
    faces = images(config, 2)
    with torch.inference_mode():
        assert not shipped.embedder.training and torch.equal(shipped.embedder(faces), embedder(faces))


@pytest.mark.parametrize(("backbone", "head"), NETWORKS)
def test_a_step_in_bfloat16_has_finite_gradients(backbone, head):
    config, embedder = trained(backbone, head)
    embedder = deepcopy(embedder).train()
    embedder.zero_grad()
    with mixed_precision("bf16", torch.device("cpu")):
        embeddings = embedder(images(config, 4))
    spread(embeddings).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in embedder.parameters())
    assert all(weight.grad.dtype == torch.float32 for weight in embedder.parameters())


@pytest.mark.parametrize(("backbone", "head"), NETWORKS)
def test_the_loss_reaches_every_parameter(backbone, head):
    config, embedder = trained(backbone, head)
    torch.manual_seed(1)
    embedder = deepcopy(embedder)  # in evaluation mode: in training, BatchNorm takes out again what a bias adds ahead of it
    embedder.zero_grad()
    for _ in range(4):  # the ReLUs of a squeeze and excitation may all be shut for one image
        spread(embedder(images(config, 2))).backward()
    assert not [key for key, weight in embedder.named_parameters() if not weight.grad.abs().sum() > 0]


@pytest.mark.parametrize(("backbone", "head"), NETWORKS)
def test_folding_keeps_the_embeddings_and_the_embedder(backbone, head):
    config, embedder = trained(backbone, head)
    torch.manual_seed(0)
    embedder = deepcopy(embedder)
    for module in embedder.modules():
        if isinstance(module, _BatchNorm):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    before = {key: value.clone() for key, value in embedder.state_dict().items()}
    faces = images(config, 2)
    by_head = deepcopy(embedder)
    by_head.head.fold()
    by_head.head.fold()  # there is nothing left to fold
    with torch.inference_mode():
        expected = embedder(faces)
        for small in (folded(embedder), by_head):
            torch.testing.assert_close(small(faces), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert not [name for name, module in by_head.head.named_modules() if isinstance(module, nn.BatchNorm1d)]
    assert all(torch.equal(before[key], value) for key, value in embedder.state_dict().items())


@pytest.mark.parametrize("name", VARIANTS)
def test_maps_have_the_size_that_the_backbone_says(name):
    """At 32 pixels a side and others, or else it says which it cannot read."""
    for side in (32, 40, 75, 107):
        try:
            backbone = build_backbone(light_model(name, image_size=side)).eval()
        except InputError as refused:
            assert f"these have {side}" in str(refused)
            continue
        with torch.inference_mode():
            maps = backbone(torch.zeros(1, 3, side, side))
        assert maps.shape == (1, backbone.out_channels, *backbone.map_size(side))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_stage_has_maps_and_gradients(name):
    config = light_model(name)
    torch.manual_seed(0)
    backbone = build_backbone(config).eval()
    faces = images(config, 2)
    names = list(backbone.stages())
    maps = named_maps(backbone, faces, names)
    assert list(maps) == names and len(names) >= 2 and maps[names[-1]].shape[1] == backbone.out_channels
    sides = [one.shape[-1] for one in maps.values()]
    assert sides == sorted(sides, reverse=True)
    assert torch.equal(maps[names[-1]], backbone(faces))
    first = next(weight for weight in backbone.parameters())
    for one in maps.values():
        first.grad = None
        one.square().mean().backward(retain_graph=True)
        assert first.grad.isfinite().all() and first.grad.abs().sum() > 0
    some = named_maps(backbone, faces, [names[-1], names[0]])
    assert list(some) == [names[-1], names[0]] and torch.equal(some[names[0]], maps[names[0]])
    assert not any(module._forward_hooks for module in backbone.modules())
    with pytest.raises(InputError, match=f"has no maps named stage99; known: {names[0]}, {names[1]}"):
        named_maps(backbone, faces, [names[0], "stage99"])


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("attention", [16, 32, 64, 128]),  # of width 4 in place of 64
        ("efficientnet_b0", [16, 24, 40, 80, 112, 192, 320, 1280]),
        ("ghostnet", [8, 12, 20, 56, 80, 480]),  # of width 0.5
        ("inception_resnet_v1", [256, 896, 1792]),
        ("lightcnn", [96, 192, 128, 128]),
        ("mobilefacenet", [64, 128, 128, 512]),
        ("repvgg", [12, 24, 48, 320]),  # a quarter as wide as A0
        ("mobilenet_v2", [8, 8, 16, 24, 32, 56, 112, 1280]),
        ("pocketnet", [16, 32, 64, 128, 512]),
        ("resnet_ir", [64, 128, 256, 512]),
        ("rexnet", [16, 38, 61, 95, 128, 185, 512]),
        ("small", [16, 32, 64, 64]),
        ("tf_nas_a", [24, 40, 80, 112, 192, 320, 1280]),
        ("squeezenext", [32, 64, 128, 256, 128]),
        ("vargfacenet", [16, 24, 40, 80, 1024]),  # of width 0.3
    ],
)
def test_stages_are_those_of_the_paper(name, channels):
    config = light_model(name)
    backbone = build_backbone(config).eval()
    maps = named_maps(backbone, images(config, 1), backbone.stages())
    assert [one.shape[1] for one in maps.values()] == channels
