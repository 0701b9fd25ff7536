"""Genotypes: how the cells of a searched network are wired, as plain values that a configuration and a weight file can hold.

A genotype is {normal: [[operation, node], ...], reduction: [[operation, node], ...]}. The nodes 0 and 1 of a cell are the
outputs of the cell before the last and of the last one; the nodes 2 to 5 are sums of two operations on earlier nodes, which
the pairs name: the first two pairs are those of node 2, and so on. The output is the nodes 2 to 5, side by side.
"""

from collections.abc import Mapping
from typing import Any

from common.errors import brief, listing
from models.layers.darts import OPERATIONS

Pair = tuple[str, int]
"""An operation and the node that it reads."""
Genotype = dict[str, list[Pair]]
CELLS = ("normal", "reduction")
NODES = 4
"""Nodes that a cell computes, each from two others."""

GENOTYPES: dict[str, dict[str, list[list[Any]]]] = {
    "casia": {
        "normal": [
            *(["dw_conv_3x3", 0], ["dw_conv_1x1", 1]),
            *(["dw_conv_3x3", 2], ["dw_conv_5x5", 0]),
            *(["dw_conv_3x3", 3], ["dw_conv_3x3", 0]),
            *(["dw_conv_3x3", 4], ["skip_connect", 0]),
        ],
        "reduction": [
            *(["dw_conv_3x3", 1], ["dw_conv_7x7", 0]),
            *(["skip_connect", 2], ["dw_conv_5x5", 1]),
            *(["max_pool_3x3", 0], ["skip_connect", 2]),
            *(["max_pool_3x3", 0], ["max_pool_3x3", 1]),
        ],
    },
    "cifar": {
        "normal": [
            *(["dw_conv_7x7", 0], ["dw_conv_3x3", 1]),
            *(["dw_conv_1x1", 1], ["dw_conv_1x1", 2]),
            *(["max_pool_3x3", 2], ["dw_conv_7x7", 3]),
            *(["dw_conv_5x5", 4], ["max_pool_3x3", 0]),
        ],
        "reduction": [
            *(["max_pool_3x3", 0], ["dw_conv_7x7", 1]),
            *(["max_pool_3x3", 0], ["max_pool_3x3", 1]),
            *(["max_pool_3x3", 0], ["max_pool_3x3", 2]),
            *(["max_pool_3x3", 0], ["max_pool_3x3", 1]),
        ],
    },
}
"""Those of PocketNet (Boutros et al., arXiv 2108.10710), by the data set that they were searched on: casia is the one published
networks have, cifar an alternative."""


def checked_genotype(choice: str | Mapping[str, Any]) -> Genotype:
    """A genotype by its name in GENOTYPES or as it is. Raises ValueError for what cannot be built."""
    if isinstance(choice, str):
        if choice not in GENOTYPES:
            raise ValueError(f"genotype {brief(choice)} is unknown; known: {listing(GENOTYPES)}, or a mapping of the two cells")
        choice = GENOTYPES[choice]
    if set(choice) != set(CELLS):
        raise ValueError(f"a genotype has the cells {listing(CELLS)}, and this one has {listing(choice) or 'none'}")
    return {kind: _checked_cell(kind, choice[kind]) for kind in CELLS}


def _checked_cell(kind: str, pairs: Any) -> list[Pair]:
    if not isinstance(pairs, (list, tuple)) or len(pairs) != 2 * NODES:
        raise ValueError(f"the {kind} cell of a genotype should be a list of {2 * NODES} pairs [operation, node]")
    cell = [_checked_pair(kind, place, pair) for place, pair in enumerate(pairs)]
    for place in range(0, len(cell), 2):
        if cell[place][1] == cell[place + 1][1]:  # in a search the best operation between two nodes is the only one
            raise ValueError(
                f"node {place // 2 + 2} of the {kind} cell reads node {cell[place][1]} twice; it should read two nodes"
            )
    return cell


def _checked_pair(kind: str, place: int, pair: Any) -> Pair:
    what, latest = f"pair {place + 1} of the {kind} cell", place // 2 + 1
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        raise ValueError(f"{what} is {brief(pair)}; it should be [operation, node]")
    operation, node = pair
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise ValueError(f"{what} has the operation {brief(operation)}; known: {listing(OPERATIONS, most=99)}")
    if type(node) is not int or not 0 <= node <= latest:
        raise ValueError(f"{what} reads node {brief(node)}; node {latest + 1} can read those from 0 to {latest}")
    return operation, node
