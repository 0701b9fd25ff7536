"""Losses: one per file, called with what the parameters of its `forward` name; it owns its trainable parameters.

A constructor's parameters are the loss's options, apart from those that the program provides: `embedding_size`, `identities`
and, where there is a teacher, `teacher_size` and `map_channels`.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

from common.errors import InputError, brief
from common.registry import ChoiceLike, Registry, name_and_options
from losses.adacos import AdaCos
from losses.adam_softmax import AdaMSoftmax
from losses.am_softmax import AMSoftmax
from losses.angular import Angular
from losses.arcface import ArcFace
from losses.arcnegface import ArcNegFace
from losses.center import Center
from losses.circle import Circle
from losses.curricularface import CurricularFace
from losses.embedding_labels import EmbeddingLabels
from losses.embedding_mse import EmbeddingMSE
from losses.factor_transfer import FactorTransfer
from losses.fitnet import FitNet
from losses.fsp import FSP
from losses.magface import MagFace
from losses.metric_learning import MetricLearning
from losses.moving_center import MovingCenter
from losses.mv_softmax import MVSoftmax
from losses.neighbours import Neighbours
from losses.npcface import NPCFace
from losses.nst import NST
from losses.objective import WAYS_OUT, Objective, check_provided, split_weight
from losses.pkt import PKT
from losses.prelogit_norm import PrelogitNorm
from losses.relational import Relational
from losses.soft_targets import SoftTargets
from losses.softmax import Softmax
from losses.template import Template
from losses.triplet import Triplet

LOSSES = Registry(
    "loss term",
    {
        "softmax": Softmax,
        "am_softmax": AMSoftmax,
        "adam_softmax": AdaMSoftmax,
        "adacos": AdaCos,
        "arcface": ArcFace,
        "mv_softmax": MVSoftmax,
        "curricularface": CurricularFace,
        "circle": Circle,
        "npcface": NPCFace,
        "magface": MagFace,
        "arcnegface": ArcNegFace,
        "triplet": Triplet,
        "center": Center,
        "moving_center": MovingCenter,
        "prelogit_norm": PrelogitNorm,
        "metric_learning": MetricLearning,
        "template": Template,
        "angular": Angular,
        "embedding_mse": EmbeddingMSE,
        "embedding_labels": EmbeddingLabels,
        "soft_targets": SoftTargets,
        "pkt": PKT,
        "relational": Relational,
        "fitnet": FitNet,
        "fsp": FSP,
        "nst": NST,
        "factor_transfer": FactorTransfer,
        "neighbours": Neighbours,
    },
)


def build_objective(
    terms: Sequence[ChoiceLike],
    embedding_size: int,
    identities: int,
    provided: Iterable[str] = ("embeddings", "labels"),
    **given: Any,
) -> Objective:
    """The objective that `terms` describe: each a choice of a loss, whose option `weight` is its factor.

    provided: names of what the recipe hands on to the losses. given: what else it knows that a constructor may ask for:
    teacher_size, the dimensions of the teacher's embeddings, and map_channels, a list with the channels of the student's
    and of the teacher's map for each pair of maps; 0, None or no pairs: there are none. Raises InputError.
    """
    given = {key: value for key, value in given.items() if value}
    given |= {"embedding_size": embedding_size, "identities": identities}
    losses, weights = {}, {}
    for term in terms:
        name, options = name_and_options(term)
        if name in losses:
            raise InputError(f"train.terms has {brief(name)} twice; a loss term is named once")
        weights[name], options = split_weight(name, options)
        check_provided(name, [key for key in inspect.signature(LOSSES[name]).parameters if key in WAYS_OUT], given)
        losses[name] = LOSSES.build({"name": name, **options}, **given)
    if not losses:
        raise InputError(f"train.terms is empty; name at least one loss term of: {', '.join(sorted(LOSSES))}")
    return Objective(losses, weights, provided)
