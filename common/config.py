"""Every setting of the project: typed, documented, overridable from YAML and from the command line.

A `Config` is one experiment. Its fields are frozen; `read_config` lays YAML files and overrides over the defaults and
refuses, by name, whatever is not a setting. Environment fields (where results go, how many workers) never change a
result and stay out of `experiment`, which is what weight files carry.
"""

import dataclasses
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from common.errors import InputError, listing

settings = dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True))
Share = float  # a number in [0, 1]
Spec = dict[str, Any]  # {"name": registry entry, option: value, ...}


def _probability(default: float) -> Any:
    return Field(default=default, ge=0.0, le=1.0)


@settings
class DataConfig:
    reader: str = "twin"
    """Which reader turns the files into faces and pairs: competition, kface, cfp, cmu, orl, twin or folder."""
    root: str = ""
    """The data set's folder; empty where the reader brings its own photographs (orl, twin)."""
    workers: NonNegativeInt = 0
    """Loader processes beside the main one; the results do not depend on it."""
    cache: str = os.environ.get("TRIARCHY_CACHE", "data/cache")
    """Folder that keeps the decoded training photographs for later runs; empty: a temporary file, for this run alone.
    The environment variable TRIARCHY_CACHE gives another default."""
    cache_gb: float = Field(default=20.0, ge=0.0)
    """Size in GiB that the cache may reach; what was used longest ago gives way."""
    cache_check: bool = False
    """Compare the photographs with what was decoded byte for byte, in place of trusting their sizes and times."""
    fold: int | None = None
    """cfp: the fold to test on; the next one present validates, the rest train."""
    protocol: str | None = None
    """cfp: FP (frontal against profile) or FF (frontal against frontal)."""
    subset: str | None = None
    """kface: which conditions to read, T1 to T4."""
    pair_list: str | None = None
    """kface: a published list of test pairs (`path path 1|0`); without it test pairs are drawn."""
    validate_share: float | None = None
    """folder, cmu, orl, kface: share of the identities that validate."""
    test_share: float | None = None
    """folder, cmu, orl: share of the identities that test."""
    pairs: PositiveInt | None = None
    """folder, cmu, orl, kface: how many pairs to draw for validation and for the test."""
    split_seed: int | None = None
    """folder, cmu, orl, kface: seed of the identity-disjoint split and of the drawn pairs."""


@settings
class ModelConfig:
    backbone: str = "efficientnet_b0"
    """The network that turns an image into pooled features."""
    backbone_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Options of the backbone, such as {drop_connect: 0.1, momentum: 0.1} of efficientnet_b0."""
    embedding_size: PositiveInt = 512
    """Dimensions of the embedding."""
    image_size: int = Field(default=112, ge=16)
    """Side, in pixels, of the square images that the network reads."""
    dropout: Share = _probability(0.2)
    """Dropout before the embedding layer."""
    embedding_norm: bool = False
    """BatchNorm after the embedding layer (the baseline has it, Triarchy does not)."""
    max_parameters: PositiveInt = 5_000_000
    """A larger inference model is refused before training starts."""


@settings
class AugmentConfig:
    crop: NonNegativeInt = 0
    """Side of a random crop, in pixels; 0 keeps the whole image."""
    flip: Share = _probability(0.5)
    """Probability of a horizontal mirror; labels that a mirror changes (camera angles) are mirrored with it."""
    rotation: float = Field(default=0.0, ge=0.0, le=180.0)
    """Largest rotation either way, in degrees."""
    scale: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Largest zoom either way, as a share of the size."""
    shift: Share = _probability(0.0)
    """Largest shift either way and per axis, as a share of the side."""
    brightness: Share = _probability(0.0)
    """Brightness factor drawn from 1 - b to 1 + b."""
    contrast: Share = _probability(0.0)
    """Contrast factor drawn from 1 - c to 1 + c."""
    saturation: Share = _probability(0.0)
    """Saturation factor drawn from 1 - s to 1 + s."""
    hue: float = Field(default=0.0, ge=0.0, le=0.5)
    """Largest turn of the hue either way, as a share of the colour circle."""
    grey: Share = _probability(0.0)
    """Probability of dropping the colour."""
    erasing: Share = _probability(0.0)
    """Probability of erasing a rectangle of 2 to 33 % of the image (Zhong et al., arXiv 1708.04896)."""
    hat: Share = _probability(0.0)
    """Probability of painting the top 15 to 33 % of the image in one random colour: hair is not identity."""
    mask: Share = _probability(0.0)
    """Probability of painting the bottom 30 to 45 % of the image in one random colour, mouth and chin with it."""


@settings
class StageConfig:
    """What the two training stages share."""

    recipe: str = "metric"
    """The training method."""
    epochs: NonNegativeInt = 30
    """Passes of the loader; 0 skips the stage in run.py."""
    lr: float = Field(default=1e-3, gt=0.0)
    """Base learning rate."""
    batch_size: int = Field(default=128, ge=2)
    """Images per batch in the pretext stage; identities per batch in train.py."""
    optimizer: Spec = dataclasses.field(default_factory=lambda: {"name": "adam"})
    """Optimiser and its options: {name: adam, weight_decay: 0.0}."""
    schedule: Spec = dataclasses.field(default_factory=lambda: {"name": "constant"})
    """Learning-rate schedule and its options: {name: multistep, milestones: [30, 80], gamma: 0.333}."""
    validate_every: PositiveInt = 10
    """Epochs between validations; the last epoch is always validated."""
    save_every: PositiveInt = 1
    """Epochs between snapshots, from which --resume goes on; where an epoch takes seconds, writing each costs a few percent."""
    augment: AugmentConfig = AugmentConfig()
    """What happens to a training image."""


@settings
class PretextConfig(StageConfig):
    recipe: str = "pretext"
    """The training method."""
    epochs: NonNegativeInt = 7
    """Passes over the training photographs; 0 skips the stage in run.py."""


@settings
class TrainConfig(StageConfig):
    batch_size: int = Field(default=8, ge=2)
    """Identities per batch."""
    num_instances: int = Field(default=16, ge=2)
    """Images per identity in a batch."""
    balance: str = ""
    """Attribute, such as angle, through whose values the images of an identity take turns; empty draws them evenly."""
    pretrained_weight: str = ""
    """Weight file whose backbone starts the training; empty starts from scratch."""
    image_sizes: list[int] = dataclasses.field(default_factory=list)
    """Sides, in pixels, of the images that the network learns from, each for an equal share of the epochs, such as
    [48, 64, 96]: small first, which is cheaper. The last is model.image_size; empty: that size throughout."""
    whiten: NonNegativeInt = 0
    """Training photographs, drawn with the seed, whose embeddings teach the embedding layer to discount what varies within
    a person; it is then validated and shipped so. 0 leaves it as it was trained."""
    terms: dict[str, Spec | None] = dataclasses.field(default_factory=dict)
    """Loss terms: {softmax: {weight: 1.0, smoothing: 0.1}, ...}; null removes one that an earlier file named."""


@settings
class EvaluateConfig:
    model_weight: str = ""
    """Weight file (.pt) of the embedder to evaluate, or a file (.onnx) exported from one."""
    pairs: str = ""
    """A CSV of pairs (image1, image2 and label: 1 = different, or same: 1 = same) in place of the reader's test pairs."""
    data_root: str = ""
    """Folder that the file names in the pairs CSV are relative to; empty means the CSV's own folder."""
    rule: Literal["calibrated", "median"] | float = "calibrated"
    """Decision threshold: calibrated (on the validation pairs, from the weight file), median (of these very scores, which
    assumes that half of the pairs match), or a number."""
    flip: bool = False
    """Add the embedding of the mirrored image to that of the image. Weight files carry what they were trained with, and
    evaluate.py does so too unless told otherwise."""
    batch_size: PositiveInt = 64
    """Images embedded at once."""
    folds: int = Field(default=10, ge=2)
    """Folds of the published k-fold protocol, computed over the one set of scores (left out if there are too few pairs)."""


@settings
class ExportConfig:
    out: str = ""
    """ONNX file to write; empty: beside the weight file, `<name>.onnx` or `<name>-int8.onnx`."""
    int8: bool = False
    """Quantise to 8 bits, which takes training photographs and validation pairs to calibrate on."""
    images: PositiveInt = 256
    """Training photographs, drawn with the seed, that show int8 how large activations become."""


@settings
class Config:
    name: str = Field(default="triarchy", pattern=r"^[^./\\\x00-\x1f][^/\\\x00-\x1f]*$")
    """Name of the experiment; output files carry it."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """The one seed that fixes everything."""
    similarity: Literal["cosine", "euclidean"] = "cosine"
    """How two embeddings are compared; euclidean means the negative distance, so that higher is always more alike."""
    results: str = "results"
    """Folder of all output."""
    resume: bool = False
    """Go on from where an interrupted run of this name stopped."""
    overwrite: bool = False
    """Replace a run of this name that was made with other settings."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """Arithmetic of the training: float32, or bfloat16 where it does no harm; auto takes bfloat16 where that is faster.
    Evaluation is always in float32."""
    threads: NonNegativeInt = 0
    """Threads of the tensor library; 0 takes one per core, which the processes of a machine share. Weights are byte-identical
    only for equal thread counts."""
    sync_norm: bool = True
    """Under torchrun: BatchNorm over the batch of all processes, as one process would compute it; false: of each its own."""
    data: DataConfig = DataConfig()
    """Where the photographs come from."""
    model: ModelConfig = ModelConfig()
    """The network that ships."""
    pretext: PretextConfig = PretextConfig()
    """Stage 1, learning attributes."""
    train: TrainConfig = TrainConfig()
    """Stage 2, learning identities."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """Stage 3, scoring pairs."""
    export: ExportConfig = ExportConfig()
    """The embedder as an ONNX file."""


ENVIRONMENT = (
    "results",
    "resume",
    "overwrite",
    "device",
    "precision",
    "threads",
    "sync_norm",
    "data.workers",
    "data.cache",
    "data.cache_gb",
    "data.cache_check",
    "pretext.save_every",
    "train.save_every",
    "train.pretrained_weight",
    "evaluate",
    "export",
)
"""Settings that say where and how a run is carried out, not what it computes from which data."""


def experiment(config: Config) -> dict[str, Any]:
    """The settings that determine the result, as plain JSON values: `config` without its ENVIRONMENT."""
    values = dataclasses.asdict(config)
    for key in ENVIRONMENT:
        *sections, last = key.split(".")
        section = values
        for name in sections:
            section = section[name]
        del section[last]
    return json.loads(json.dumps(values))


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay `over` on `base`, section by section.

    Where `over` chooses another entry of a registry, the options of the one below go with it: those of one optimiser,
    reader or backbone mean nothing to another.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(_without_options(below, value), value) if both else value
    return merged


def _without_options(below: Mapping[str, Any], over: Mapping[str, Any]) -> Mapping[str, Any]:
    """The section `below` without what belongs to a choice that `over` replaces."""

    def chosen_anew(tag: str) -> bool:
        return tag in below and over.get(tag, below[tag]) != below[tag]

    if chosen_anew("name"):
        return {}
    if chosen_anew("reader"):
        return {key: value for key, value in below.items() if f"data.{key}" in ENVIRONMENT}
    if chosen_anew("backbone"):
        return {key: value for key, value in below.items() if key != "backbone_options"}
    return below


class SettingsLoader(yaml.SafeLoader):
    """YAML as people write it: 1e-3 is a number, too (YAML 1.1 asks for 1.0e-3)."""


SettingsLoader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), "-+0123456789")


def load_yaml(text: str) -> Any:
    """The plain values in a YAML text. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=SettingsLoader)  # a subclass of the safe loader: no tag constructs an object


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file; InputError if the file is absent or is not one mapping."""
    try:
        values = load_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"config {str(path)!r} cannot be read ({error.strerror}); shipped ones are in configs/") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"config {str(path)!r} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"config {str(path)!r} should be a mapping of settings, such as 'seed: 1'")
    return values


def make_config(values: Mapping[str, Any], source: str = "the settings") -> Config:
    """Build a Config from nested plain values; InputError names the first wrong setting and what would be right."""
    try:
        return TypeAdapter(Config).validate_json(json.dumps(values), strict=True)
    except TypeError as error:
        raise InputError(f"{source}: only plain YAML values can be settings ({error})") from error
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(error, values)}") from error
    except (ValueError, RecursionError) as error:  # of json, for a YAML file that contains itself
        raise InputError(f"{source}: not settings but a structure without end ({error})") from error


def read_config(paths: Iterable[str | Path], overrides: Mapping[str, Any] | None = None) -> Config:
    """Lay the YAML files at `paths`, then `overrides` (nested), over the defaults. Raises InputError."""
    values = dataclasses.asdict(Config())
    for path in paths:
        layer = read_yaml(path)
        make_config(merge(values, layer), source=f"config {str(path)!r}")
        values = merge(values, layer)
    return make_config(merge(values, overrides or {}), source="command line" if overrides else "the settings")


def _explain(error: ValidationError, values: Mapping[str, Any]) -> str:
    """One sentence about the first fault that pydantic found."""
    fault = error.errors(include_url=False)[0]
    location = [part for part in fault["loc"] if not (isinstance(part, str) and "[" in part)]
    name = ".".join(str(part) for part in location)
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        return f"unknown setting {name!r}; known here: {listing(_fields_at(location[:-1]), most=99)}"
    return f"setting {name!r} is {fault['input']!r}, which is wrong: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _fields_at(location: Iterable[str | int]) -> list[str]:
    """Names of the settings in the section at `location`."""
    section: Any = Config
    for part in location:
        section = {field.name: field.type for field in dataclasses.fields(section)}[part]
    return [field.name for field in dataclasses.fields(section)]
