"""Every setting of the project: typed, documented, overridable from YAML and from the command line.

A `Config` is one experiment. Its fields are frozen; `read_config` lays YAML files and overrides over the defaults and
refuses, by name, whatever is not a setting. What a setting chooses by name (a reader, a network, an optimiser, a loss term)
is a `Choice`: the options behind the name belong to what it names and are checked there. Environment fields (where results
go, how many workers) never change a result and stay out of `experiment`, which is what weight files carry.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from common.errors import InputError, brief, listing, shortened
from common.plain import NotPlain, check_plain, read_yaml
from common.registry import ChoiceLike, name_and_options
from common.rules import known_rule


class Section:
    """A section of the settings. The attribute, which @settings sets, tells type checkers that it is a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


@dataclass_transform(frozen_default=True, field_specifiers=(Field, dataclasses.field))
def settings(section: type[Section]) -> type:
    """The class as a frozen dataclass that checks its values' types and ranges, and that takes no other names."""
    return dataclass(section, frozen=True, config=ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True))


def _canonical(choice: ChoiceLike) -> dict[str, Any]:
    name, options = name_and_options(choice)
    return {"name": name, **options}


Choice = Annotated[Any, AfterValidator(_canonical)]
"""A name and its options: given as a bare name or as {name: ..., option: value}, kept as the latter."""


def _each_once(choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = [choice["name"] for choice in choices]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"{listing(twice)} stands in it more than once, and each name may stand there once")
    return choices


Choices = Annotated[list[Choice], AfterValidator(_each_once)]
"""A list of choices, each name once, since a mapping laid on the list addresses its entries by their names."""
MOST_IMAGES = 65_536  # in a batch
MOST_THREADS = 1024  # the tensor library aborts for want of memory where there are very many
Share = float  # a number in [0, 1]


def _probability(default: float) -> Any:
    return Field(default=default, ge=0.0, le=1.0)


def _chosen(*choices: ChoiceLike, many: bool = False) -> Any:
    """The default of a Choice, or of a list of them."""
    values = [_canonical(choice) for choice in choices]
    return dataclasses.field(default_factory=lambda: values if many else values[0])


@settings
class DataConfig(Section):
    reader: Choice = _chosen("twin")
    """What turns the files into faces and pairs: competition, kface, cfp, cmu, orl, twin or folder, or for evaluate.py alone a
    published list of pairs: lfw, cplfw, calfw, agedb30 or rfw; its options are its own, such as {name: cfp, fold: 3}."""
    root: str = ""
    """The data set's folder; empty where the reader brings its own photographs (orl, twin)."""
    boxes: str = ""
    """A CSV of face boxes: file_name, left, top, right, bottom in pixels and, if landmarks are known, <name>_x, <name>_y. File
    names are relative to the data set's folder, or for --pairs to --data_root; empty: what the reader or the list knows."""
    most_per_person: NonNegativeInt = 0
    """Photographs of each person to train on, drawn from those there are; 0: all. Validation and test keep theirs."""
    draw_seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of that draw; trainings with different seeds learn from the same photographs."""
    masked: Literal["none", "copies", "all"] = "none"
    """Masks drawn on the training photographs, by their landmarks: none, copies (each stands there twice, once with a mask), or
    all (with a mask alone)."""
    workers: int = Field(default=0, ge=0, le=1024)
    """Loader processes beside the main one, up to 1,024; the results do not depend on it."""
    cache: str = os.environ.get("TRIARCHY_CACHE", "data/cache")
    """Folder that keeps the decoded training photographs for later runs; empty: a temporary file, for this run alone.
    The environment variable TRIARCHY_CACHE gives another default."""
    cache_gb: float = Field(default=20.0, ge=0.0, le=1e6)
    """Size in GiB that the cache may reach, up to a million; what was used longest ago gives way."""
    cache_check: bool = False
    """Compare the photographs with what was decoded byte for byte, in place of trusting their sizes and times."""


@settings
class ModelConfig(Section):
    backbone: Choice = _chosen("efficientnet_b0")
    """The network that turns images into maps, and its options: {name: efficientnet_b0, drop_connect: 0.1}."""
    head: Choice = _chosen("published")
    """What turns the maps into embeddings: pool, flatten or depthwise, and its options; published is the one that the backbone
    was published with, and options given with it, such as {name: published, dropout: 0.1}, are laid on its own."""
    embedding_size: int = Field(default=512, ge=1, le=8_192)
    """Dimensions of the embedding; published ones have at most 4,096."""
    image_size: int = Field(default=112, ge=16, le=1_024)
    """Side, in pixels, of the square images that the network reads; most for faces read 96 to 256."""
    part: Literal["whole", "upper"] = "whole"
    """What the network looks at: the whole image, or its upper 15/28 (rows 0 to 59 of 112), which a mask leaves bare."""
    max_parameters: PositiveInt = 5_000_000
    """A larger inference model is refused before training starts."""


@settings
class StageConfig(Section):
    """What the two training stages share."""

    recipe: Choice = _chosen("metric")
    """The training method and its own settings."""
    epochs: int = Field(default=30, ge=0, le=1_000_000)
    """Passes of the loader, up to a million; 0 skips the stage in run.py."""
    lr: float = Field(default=1e-3, gt=0.0, le=1000.0)
    """Base learning rate."""
    batch_size: int = Field(default=128, ge=2, le=MOST_IMAGES)
    """Images per batch in the pretext stage; identities per batch in train.py. A batch has at most 65,536 images."""
    optimizer: Choice = _chosen("adam")
    """Optimiser and its options: {name: adam, weight_decay: 0.0}."""
    schedule: Choice = _chosen("constant")
    """Learning-rate schedule and its options: {name: multistep, milestones: [30, 80], gamma: 0.333}."""
    clip: float = Field(default=0.0, ge=0.0)
    """Largest norm that the gradient of all weights together may have; a longer one is shortened to it. 0: any."""
    ema: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Decay of an exponential moving average of the network's weights, such as 0.999, which is validated and ships in place of
    the last weights; 0: none."""
    validate_every: PositiveInt = 10
    """Epochs between validations; the last epoch is always validated."""
    save_every: PositiveInt = 1
    """Epochs between snapshots, from which --resume goes on; where an epoch takes seconds, writing each costs a few percent."""
    keep_every: int = Field(default=0, ge=0, le=1_000_000)
    """Epochs between weights that are kept besides the best, as <run>.epoch-010.pt; 0: none."""
    augment: Choices = _chosen("flip", many=True)
    """What happens to a training image, step by step: [flip, {name: affine, rotation: 10}, {name: erasing, probability: 0.2}]."""


@settings
class PretextConfig(StageConfig):
    recipe: Choice = _chosen("pretext")
    """The training method and its own settings."""
    epochs: int = Field(default=7, ge=0, le=1_000_000)
    """Passes over the training photographs; 0 skips the stage in run.py."""


@settings
class TrainConfig(StageConfig):
    batch_size: int = Field(default=8, ge=2, le=MOST_IMAGES)
    """Identities per batch; all, where fewer people train."""
    num_instances: int = Field(default=16, ge=2, le=MOST_IMAGES)
    """Images per identity in a batch, which has at most 65,536 images."""
    pretrained_weight: str = ""
    """Weight file whose network starts the training; empty starts from scratch."""
    generations: int = Field(default=1, ge=1, le=1000)
    """Trainings one after another, each with its own full schedule and from the weights of the one before: <name>-1, <name>-2
    and so on, and the last is <name>."""
    terms: Choices = _chosen(many=True)
    """Loss terms, each with a `weight` (default 1.0): [{name: softmax, smoothing: 0.1}, {name: triplet, weight: 0.1}]."""


@settings
class EvaluateConfig(Section):
    model_weight: str = ""
    """Weight file (.pt) of the embedder to evaluate, a file (.onnx) exported from one, or several weight files, A.pt,B.pt, whose
    embeddings, each of unit length, are put side by side."""
    pairs: str = ""
    """A CSV of pairs (image1, image2 and label: 1 = different, or same: 1 = same) in place of the reader's test pairs."""
    data_root: str = ""
    """Folder that the file names in the pairs CSV, or in other lists, are relative to; empty means the CSV's own folder."""
    rule: Annotated[Any, AfterValidator(known_rule)] = "calibrated"
    """Decision threshold: calibrated (on the validation pairs, from the weight file), far:1e-3 (the lowest that accepts at most
    this share of the validation pairs of different people), median (of these very scores, which assumes that half of the pairs
    match), or a number."""
    calibrate: str = ""
    """Decide nothing, but write this new weight file, with thresholds and probabilities for pairs such as those of
    evaluate.pairs; else it equals the one given."""
    flip: bool = False
    """Add the embedding of the mirrored image to that of the image. Weight files carry what they were trained with, and
    evaluate.py does so too unless told otherwise."""
    masked: Literal["none", "first", "second", "both"] = "none"
    """Which photographs of a pair have a mask drawn on them: first is "probes masked, gallery not"."""
    batch_size: int = Field(default=64, ge=1, le=MOST_IMAGES)
    """Images embedded at once, up to 65,536."""
    folds: int = Field(default=10, ge=2, le=10_000)
    """Folds of the published k-fold protocol, computed over the one set of scores (left out if there are too few pairs)."""
    fold_rule: Literal["calibrated", "facex", "insightface"] = "calibrated"
    """How the folds are made and decided: calibrated (threshold as for a weight file, on the other folds), or as FaceX-Zoo or
    InsightFace do it, for figures to compare with theirs."""


@settings
class IdentifyConfig(Section):
    probes: str = ""
    """A CSV of the photographs to recognise (photograph, identity and, if known, left, top, right, bottom), in place of lists
    drawn from the data set's test people."""
    gallery: str = ""
    """A CSV of the photographs, with the same columns, among which the person of each probe is looked for."""
    distractors: str = ""
    """A CSV of photographs of other people (photograph), who are neither probes nor in the gallery."""
    enrol: dict[str, str] = dataclasses.field(default_factory=dict)
    """Attributes of the photograph of each test person that a drawn gallery has: {angle: C7, expression: E01}; empty: any."""


@settings
class TemplatesConfig(Section):
    photographs: str = ""
    """A CSV of photograph, template, medium and, if known, quality and left, top, right, bottom, in place of templates drawn from
    the data set's test people."""
    pairs: str = ""
    """A CSV of the templates to compare: template1, template2 and label (1 = different) or same (1 = same)."""
    size: PositiveInt = 4
    """Photographs, or some more, in a template that is drawn."""
    medium: str = ""
    """Attribute by which the photographs of a template that is drawn come from one medium; empty: each is one by itself."""


@settings
class ExportConfig(Section):
    out: str = ""
    """ONNX file to write; empty: beside the weight file, `<name>.onnx` or `<name>-int8.onnx`."""
    int8: bool = False
    """Quantise to 8 bits, which takes training photographs and validation pairs to calibrate on."""
    images: PositiveInt = 256
    """Training photographs, drawn with the seed, that show int8 how large activations become."""


@settings
class Config(Section):
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
    threads: int = Field(default=0, ge=0, le=MOST_THREADS)
    """Threads of the tensor library, up to 1,024; 0 takes one per core, which the processes of a machine share. Weights are
    byte-identical only for equal thread counts."""
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
    identify: IdentifyConfig = IdentifyConfig()
    """Recognising people in a gallery."""
    templates: TemplatesConfig = TemplatesConfig()
    """Scoring pairs of templates, of several photographs each."""
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
    "identify",
    "templates",
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


def merge(base: Mapping[str, Any], over: Mapping[str, Any], section: type[Section] = Config) -> dict[str, Any]:
    """Lay the settings `over` on `base`, section by section; `section` is the class of both.

    A choice of another name replaces the one below with all its options, which mean nothing to another; options without a
    name, or with the same, are laid on those below. On a list of choices a list replaces it, and a mapping
    {name: {option: value}} changes the entry of that name, adds it if there is none, or with null takes it out.
    """
    types = {field.name: field.type for field in dataclasses.fields(section)}
    merged = dict(base)
    for key, value in over.items():
        below, kind = merged.get(key), types.get(key)
        if isinstance(kind, type) and issubclass(kind, Section) and isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = merge(below, value, kind)
        elif kind == Choice:
            merged[key] = _merge_choice(below, value)
        elif kind == Choices and isinstance(value, Mapping):
            merged[key] = _merge_choices(below, value)
        else:
            merged[key] = value
    return merged


def _merge_choice(below: Any, over: Any) -> Any:
    lower = {"name": below} if isinstance(below, str) else below
    upper = {"name": over} if isinstance(over, str) else over
    if not (isinstance(lower, Mapping) and isinstance(upper, Mapping)):
        return over
    another = "name" in lower and upper.get("name", lower["name"]) != lower["name"]
    return over if another else _merge_options(lower, upper)


def _merge_options(below: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {key for key in below if isinstance(below[key], Mapping) and isinstance(over.get(key), Mapping)}
    return {**below, **over, **{key: _merge_options(below[key], over[key]) for key in both}}


def _merge_choices(below: Any, over: Mapping[str, Any]) -> Any:
    if isinstance(below, Mapping):  # neither is laid on a list yet
        return _merge_options(below, over)
    if below is None:
        return over
    if not isinstance(below, list):  # which will be told when it becomes a Config
        return below
    try:
        entries = {choice["name"]: choice for choice in _each_once([_canonical(choice) for choice in below])}
    except ValueError:  # and so will what is no list of choices
        return below
    for name, options in over.items():
        if options is None:
            entries.pop(name, None)
        else:
            entries[name] = _merge_choice(entries.get(name, name), options)
    return list(entries.values())


def make_config(values: Mapping[str, Any], source: str = "the settings") -> Config:
    """Build a Config from nested plain values; InputError names the first wrong setting and what would be right."""
    check_values(values, source)
    try:
        return TypeAdapter(Config).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(error)}") from error


def check_values(values: Mapping[str, Any], source: str) -> None:
    """Raise InputError if the settings in `values`, such as are laid on others, are more than plain values."""
    try:
        check_plain(values)
    except NotPlain as error:
        name = shortened(".".join(str(part) for part in error.place))
        raise InputError(f"{source}: setting {name!r} is {error}") from error


def read_layer(path: str | Path) -> dict[str, Any]:
    """The settings in one YAML file, which are right by themselves and may be laid on others. Raises InputError."""
    layer, source = read_yaml(path), f"config {brief(str(path))}"
    check_values(layer, source)
    make_config(merge(dataclasses.asdict(Config()), layer), source)
    return layer


def read_config(paths: Iterable[str | Path], overrides: Mapping[str, Any] | None = None) -> Config:
    """Lay the YAML files at `paths`, then `overrides` (nested), over the defaults. Raises InputError."""
    values = dataclasses.asdict(Config())
    for path in paths:
        values = merge(values, read_layer(path))
    return make_config(merge(values, overrides or {}), source="command line" if overrides else "the settings")


def _explain(error: ValidationError) -> str:
    """One sentence about the first fault that pydantic found."""
    fault = error.errors(include_url=False)[0]
    unknown = fault["type"] in ("unexpected_keyword_argument", "extra_forbidden")
    *outer, last = fault["loc"]
    location = [part for part in outer if not _is_type(part)] + ([] if _is_type(last) and not unknown else [last])
    name = shortened(".".join(str(part) for part in location))
    if unknown:
        return f"unknown setting {name!r}; known here: {listing(_fields_at(location[:-1]), most=99)}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"setting {name!r} is {brief(fault['input'])}, which is wrong: {message[0].lower()}{message[1:]}"


def _is_type(part: str | int) -> bool:
    """Whether a part of pydantic's location is a type that it tried, such as literal['median'], and no setting."""
    return isinstance(part, str) and "[" in part


def _fields_at(location: Iterable[str | int]) -> list[str]:
    """Names of the settings in the section at `location`."""
    section: Any = Config
    for part in location:
        section = next(field.type for field in dataclasses.fields(section) if field.name == part)
    return [field.name for field in dataclasses.fields(section)]
