"""Any network of the package timm (Wightman, PyTorch Image Models, 2019), with random weights."""

import importlib
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from common.errors import InputError, brief, listing, shortened
from models.backbones.backbone import Backbone

DECIDED = {"device", "dtype", "features_only", "global_pool", "img_size", "in_chans", "num_classes", "out_indices"}
"""Options of timm.create_model that this program decides: where the maps are taken, and of which images."""
FROM_FILES = ("pretrained", "checkpoint", "cache_dir", "pruned")
"""What the names of options begin with that have timm read or fetch a file."""
MOST, LONGEST = 4096, 1000
"""Of any number among the options, and characters of all together: a weight file must not ask for a network without end."""
OPERATORS = torch.library.Library("torchvision", "FRAGMENT")


class Timm(Backbone):
    """Images [B, 3, H, W] float32 -> maps [B, out_channels, h, w], with which the `forward_features` of a network of timm ends.
    Tokens of transformers are laid out as the map that they stand for; those that stand for no place are left out.

    What only the classifier of the network would read is not built. Nothing is ever downloaded.

    image_size: side H = W in pixels; networks that are made for images of one size are made for this one.
    network: one of timm.list_models().
    options: what timm.create_model takes for this network, such as {drop_path_rate: 0.1}.
    """

    head = {"name": "pool"}
    traceable = False

    def __init__(self, image_size: int, network: str, options: dict[str, Any] | None = None):
        super().__init__()
        timm, options = package(), options or {}
        if network not in timm.list_models():
            alike = [name for name in timm.list_models() if network and network in name]
            raise InputError(f"timm has no network {brief(network)}; known: {listing(alike or timm.list_models())}")
        check_options(options)
        size = {"img_size": image_size} if timm.get_pretrained_cfg(network).fixed_input_size else {}
        said = f"timm's {network!r} with the options {brief(options)}, for images of {image_size} pixels a side"
        try:
            self.network = timm.create_model(network, pretrained=False, num_classes=0, **options, **size)
        except Exception as error:  # of any kind: layers deep inside answer what they cannot use
            raise InputError(f"{said}, cannot be built: {sentence(error)}") from error
        self.channels_last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"
        self.placeless = getattr(self.network, "num_prefix_tokens", 0)
        self.grid = getattr(getattr(self.network, "patch_embed", None), "grid_size", None)
        try:
            trial = try_out(self, image_size)
        except Exception as error:  # as above
            raise InputError(f"{said}, cannot be used: {sentence(error)}") from error
        if len(trial.shape) != 4:
            raise InputError(f"{said}, ends in features of the shape {list(trial.shape[1:])}, and heads need maps")
        for name, child in self.network.named_children():
            weights = [f"network.{name}.{key}" for key, _ in child.named_parameters()]
            if weights and not trial.used.intersection(weights):
                setattr(self.network, name, nn.Identity())
        self.out_channels = trial.shape[1]
        self.stride = trial.stride
        self.sizes = {image_size: trial.shape[2:]}  # those that are known
        self.places = trial.places

    def forward(self, images: Tensor) -> Tensor:
        features = self.network.forward_features(images)
        if not isinstance(features, Tensor):
            raise TypeError("it has several maps in place of one")
        if features.ndim == 3 and self.grid is not None:  # [B, tokens, C]
            return features[:, self.placeless :].transpose(1, 2).unflatten(2, self.grid)
        return features.permute(0, 3, 1, 2) if self.channels_last else features

    def stages(self) -> dict[str, nn.Module]:
        """Those that timm names and that have maps, which those of transformers have not, and the last."""
        named = {f"stage{number}": self.network.get_submodule(place) for number, place in enumerate(self.places, 1)}
        return {**named, "last": self}

    def map_size(self, image_size: int) -> tuple[int, int]:
        height, width = self.sizes.get(image_size) or try_out(self, image_size).shape[2:]
        return height, width


class Trial(NamedTuple):
    """What comes of an image: the shape of its maps, the names of the parameters that they depend on, by how much they are
    smaller, and in which modules of the network its stages end."""

    shape: tuple[int, ...]
    used: set[str]
    stride: int
    places: list[str]


def try_out(backbone: Timm, image_size: int) -> Trial:
    """Let a network compute the shapes of what it makes of one image of `image_size` pixels a side, without values."""
    infos = getattr(backbone.network, "feature_info", None) or []
    infos = infos if isinstance(infos, list) else infos.info
    modules, places, hooks = dict(backbone.network.named_modules()), [], []

    def look(place: str, channels: int):
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[1] == channels and place not in places:
                places.append(place)

        return hook

    for info in infos:
        if info["module"] in modules:
            hooks.append(modules[info["module"]].register_forward_hook(look(info["module"], info["num_chs"])))
    weights = {name: torch.empty_like(weight, device="meta", requires_grad=True) for name, weight in backbone.named_parameters()}
    buffers = {name: buffer.to("meta") for name, buffer in backbone.named_buffers()}
    training = backbone.training
    try:
        with torch.enable_grad():
            images = torch.empty(1, 3, image_size, image_size, device="meta")
            maps = functional_call(backbone.eval(), {**weights, **buffers}, images)
    finally:
        backbone.train(training)
        for hook in hooks:
            hook.remove()
    reached = leaves(maps)
    used = {name for name, weight in weights.items() if id(weight) in reached}
    return Trial(tuple(maps.shape), used, infos[-1]["reduction"] if infos else image_size // maps.shape[-1], places)


def leaves(result: Tensor) -> set[int]:
    """The ids of the tensors that a gradient of `result` would reach."""
    found, todo, seen = set(), [result.grad_fn], {result.grad_fn}
    while todo:
        node = todo.pop()
        found.add(id(getattr(node, "variable", None)))
        further = {before for before, _ in getattr(node, "next_functions", ()) if before is not None} - seen
        seen |= further
        todo += further
    return found


def check_options(options: Mapping[str, Any]) -> None:
    """Raise InputError if options, of plain values, are not the user's to choose, or make a network without end."""
    for name in options:
        if name.startswith(FROM_FILES):
            raise InputError(f"timm's option {name} would have weights or a file read; every network here starts from nothing")
        if name in DECIDED:
            raise InputError(f"timm's option {name} is decided by model.image_size and model.head; leave it out")
    if len(json.dumps(options)) > LONGEST:
        raise InputError(f"the options of timm are {brief(options)}; they should be at most {LONGEST:,} characters long")
    values = list(options.values())
    for value in values:  # which grows by what is inside
        if isinstance(value, (list, dict)):
            values.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, (int, float)) and not abs(value) <= MOST:
            raise InputError(f"the options of timm hold {brief(value)}; numbers should be at most {MOST:,}")


def package() -> ModuleType:
    """timm. Raises InputError if it is not installed."""
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise InputError(
            f"networks of timm need the packages of requirements-timm.txt ({error}); run 'pip install -r requirements-timm.txt'"
        ) from error
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    # The torchvision of PyPI is compiled for torch with CUDA. Beside a torch for the CPU it lacks its operators, of which timm
    # uses none, but it still describes these two.
    for name in ("nms", "qnms"):
        OPERATORS.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("timm")


def sentence(error: Exception) -> str:
    """What an error of another package says, on one line."""
    return shortened(f"{type(error).__name__}: {error}".partition("\n")[0])
