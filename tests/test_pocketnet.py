"""PocketNet and the operations of its cells: sizes, wiring and genotypes."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional

from common.config import ModelConfig
from common.errors import InputError
from models.backbones.genotypes import GENOTYPES, checked_genotype
from models.backbones.pocketnet import Cell, PocketNet
from models.counts import parameter_count
from models.embedder import build_embedder, shapes_only
from models.layers.darts import OPERATIONS, FactorizedReduce

S = [5632] * 6 + [10_688, 16_832] + [18_944] * 4 + [35_712, 60_288] + [68_608] * 3 + [128_768]
M = [18_944] * 3 + [35_712, 60_288, 68_608, 128_768, 227_072, 486_912]


@pytest.mark.parametrize(("options", "stem", "cells"), [({}, 1856, S), ({"channels": 32, "cells": 9}, 3712, M)])
def test_every_part_has_its_published_size(options, stem, cells):
    with shapes_only():
        network = PocketNet(**options)
    assert parameter_count(network.stem) == stem
    assert [parameter_count(cell) for cell in network.cells] == cells


def test_reductions_stand_a_third_and_two_thirds_of_the_way_and_at_the_end():
    with shapes_only():
        networks = {cells: PocketNet(cells=cells) for cells in (8, 9, 18)}
    assert {cells: network.reductions for cells, network in networks.items()} == {
        8: (2, 5, 7),
        9: (3, 6, 8),
        18: (6, 12, 17),
    }


def cell(kind: str, **options) -> Cell:
    torch.manual_seed(0)
    return Cell(checked_genotype("casia")[kind], before=6, last=8, channels=4, **options).eval()


@pytest.mark.parametrize("side", [6, 7])
def test_the_cells_are_wired_as_published(side):
    before, last = torch.randn(2, 6, side, side), torch.randn(2, 8, side, side)
    with torch.no_grad():
        normal = cell("normal", reduces=False, larger=False)
        o, s0, s1 = normal.operations, normal.before(before), normal.last(last)
        n2 = o[0](s0) + o[1](s1)
        n3 = o[2](n2) + o[3](s0)
        n4 = o[4](n3) + o[5](s0)
        n5 = o[6](n4) + s0
        assert torch.equal(normal(before, last), torch.cat([n2, n3, n4, n5], dim=1))

        before = torch.randn(2, 6, 2 * side - 1, 2 * side - 1)  # as ahead of a reduction
        reduction = cell("reduction", reduces=True, larger=True)
        o, s0, s1 = reduction.operations, reduction.before(before), reduction.last(last)
        n2 = o[0](s1) + o[1](s0)
        n3 = n2 + o[3](s1)
        n4 = o[4](s0) + n2
        n5 = o[6](s0) + o[7](s1)
        made = reduction(before, last)
        assert torch.equal(made, torch.cat([n2, n3, n4, n5], dim=1)) and made.shape[2:] == ((side + 1) // 2,) * 2


def naive_pool(images: torch.Tensor, stride: int, reduce) -> torch.Tensor:
    """3x3 windows around every stride-th place, cut off at the borders."""
    rows, columns = (range(0, size, stride) for size in images.shape[2:])
    windows = [[images[:, :, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] for x in columns] for y in rows]
    return torch.stack([torch.stack([reduce(window) for window in row], dim=-1) for row in windows], dim=-2)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [6, 7])
def test_operations_compute_what_their_names_say(name, stride, side):
    torch.manual_seed(0)
    operation = OPERATIONS[name](4, stride, True).eval()
    images = torch.randn(2, 4, side, side)
    scale = (1 + 1e-5) ** -0.5  # of a BatchNorm that has seen nothing
    seen = torch.where(images > 0, images, images / 4)
    if name.endswith("pool_3x3"):
        largest = name.startswith("max")
        expected = scale * naive_pool(images, stride, lambda window: (window.amax if largest else window.mean)(dim=(2, 3)))
    elif name == "skip_connect" and stride == 1:
        expected = images
    elif name == "skip_connect":
        whole = functional.pad(seen, (0, 1, 0, 1))
        even, odd = whole[:, :, 0:side:2, 0:side:2], whole[:, :, 1::2, 1::2][:, :, : (side + 1) // 2, : (side + 1) // 2]
        weights = [
            narrow.weight.flatten(1) * filtered.weight.flatten()
            for narrow, filtered in ((operation.narrow_even, operation.even), (operation.narrow_odd, operation.odd))
        ]
        halves = [torch.einsum("oc,bchw->bohw", weight, places) for weight, places in zip(weights, (even, odd))]
        expected = scale * torch.cat(halves, dim=1)
    else:
        kernel = int(name[-1])
        whole = operation[2].weight * operation[1].weight.transpose(0, 1)  # [D, C, k, k] of one ordinary convolution
        assert whole.shape == (4, 4, kernel, kernel)
        expected = scale * functional.conv2d(seen, whole, stride=stride, padding=kernel // 2)
    with torch.no_grad():
        torch.testing.assert_close(operation(images), expected.detach(), rtol=1e-4, atol=1e-5)


def test_a_search_has_norms_that_learn_nothing():
    for name, operation in OPERATIONS.items():
        norms = [module for module in operation(4, 2, False).modules() if isinstance(module, nn.BatchNorm2d)]
        assert norms and all(norm.weight is None for norm in norms), name
    assert FactorizedReduce(4, 6, affine=False).norm.weight is None


def casia_with(kind: str, place: int, pair: list) -> dict:
    genotype = deepcopy(GENOTYPES["casia"])
    genotype[kind][place] = pair
    return genotype


def test_a_mapping_is_the_genotype_of_the_same_name():
    assert checked_genotype(deepcopy(GENOTYPES["cifar"])) == checked_genotype("cifar") != checked_genotype("casia")
    assert checked_genotype(casia_with("normal", 7, ["max_pool_3x3", 0]))["normal"][7] == ("max_pool_3x3", 0)


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        ("imagenet", "genotype 'imagenet' is unknown; known: casia, cifar, or a mapping"),
        ({"normal": GENOTYPES["casia"]["normal"]}, "has the cells normal, reduction, and this one has normal$"),
        ({**GENOTYPES["casia"], "concat": [2, 3]}, "and this one has normal, reduction, concat$"),
        ({}, "and this one has none$"),
        ({**GENOTYPES["casia"], "normal": "casia"}, "the normal cell of a genotype should be a list of 8 pairs"),
        ({**GENOTYPES["casia"], "reduction": [["dw_conv_3x3", 0]] * 7}, "the reduction cell .* should be a list of 8 pairs"),
        (casia_with("normal", 2, ["dw_conv_9x9", 1]), "pair 3 of the normal cell has the operation 'dw_conv_9x9'; known: max_p"),
        (casia_with("normal", 2, ["none", 1]), "has the operation 'none'; known"),
        (casia_with("normal", 2, [["none"], 1]), "has the operation .*'none'.*; known"),
        (casia_with("reduction", 0, ["dw_conv_3x3", 2]), "pair 1 of .* reads node 2; node 2 can read those from 0 to 1"),
        (casia_with("reduction", 7, ["dw_conv_3x3", 5]), "pair 8 of .* reads node 5; node 5 can read those from 0 to 4"),
        (casia_with("normal", 1, ["dw_conv_3x3", -1]), "reads node -1; node 2 can"),
        (casia_with("normal", 1, ["dw_conv_3x3", True]), "reads node True; node 2 can"),
        (casia_with("normal", 1, ["dw_conv_3x3", 1.0]), "reads node 1.0; node 2 can"),
        (casia_with("normal", 3, ["dw_conv_3x3"]), r"pair 4 of the normal cell is \['dw_conv_3x3'\]; it should be"),
        (casia_with("normal", 1, ["dw_conv_5x5", 0]), "node 2 of the normal cell reads node 0 twice"),
        (3, "option genotype is 3, which is wrong"),
    ],
)
def test_wrong_genotypes_are_one_sentence(genotype, message):
    with pytest.raises(InputError, match=message):
        build_embedder(ModelConfig(backbone={"name": "pocketnet", "genotype": genotype}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 15}, "option channels is 15, .*multiple of 2"),
        ({"cells": 3}, "option cells is 3, .*greater than or equal to 4"),
        ({"out_channels": 0}, "option out_channels is 0"),
    ],
)
def test_sizes_out_of_range_are_one_sentence(options, message):
    with pytest.raises(InputError, match=message):
        build_embedder(ModelConfig(backbone={"name": "pocketnet", **options}))
