"""What a leaderboard compares, from a YAML file: networks x methods x seeds, each a complete configuration."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from common.cli import CONFIGS
from common.config import Config, Section, check_values, experiment, make_config, merge, read_layer, settings
from common.errors import InputError, brief, listing
from common.plain import read_yaml

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.,+-]{0,59}")
"""Of a network or method: it becomes part of file names."""
MOST_ROWS = 10_000
FIXED = (
    *("name", "seed", "results", "resume", "overwrite", "threads", "export", "evaluate.model_weight"),
    *("train.epochs", "train.validate_every", "train.save_every", "train.keep_every"),
)
"""Settings that the leaderboard itself gives to every row, or that no row has a use for."""
COMMON = ("data", *(f"evaluate.{name}" for name in ("pairs", "data_root", "rule", "masked", "folds", "fold_rule")))
"""Settings that all rows must have in common to be compared."""


@settings
class Budget(Section):
    """What every row may spend on training; exactly one of the two."""

    images: PositiveInt | None = None
    """Images seen, those of the pretext included."""
    seconds: PositiveFloat | None = None
    """Seconds of training on this machine, by the pace of its first steps."""


@settings
class Block(Section):
    """Every one of the networks with every one of the methods."""

    networks: Literal["all"] | list[str] = "all"
    methods: Literal["all"] | list[str] = "all"


@settings
class Description(Section):
    """The YAML file."""

    title: str
    base: str
    """A configuration of the project, by its name in configs/, that lies below every row."""
    budget: Budget
    networks: dict[str, dict[str, Any]]
    """By name: settings of `model`, such as {backbone: mobilefacenet}."""
    methods: dict[str, dict[str, Any]]
    """By name: settings of any section, such as {train: {terms: [arcface]}}."""
    about: str = ""
    """A sentence or two under the title."""
    shared: dict[str, Any] = Field(default_factory=dict)
    """Settings laid on the base in every row."""
    seeds: list[NonNegativeInt] = Field(default_factory=lambda: [0, 1], min_length=1)
    rows: list[Block] = Field(default_factory=lambda: [Block()], min_length=1)


@dataclasses.dataclass(frozen=True)
class Row:
    """One training: `config` is complete but for the epochs that the budget allows."""

    network: str
    method: str
    seed: int
    config: Config

    @property
    def key(self) -> str:
        return f"{self.network}/{self.method}/{self.seed}"

    def digest(self, budget: Budget) -> str:
        """SHA-256 of all settings that the result depends on; it says nothing of code, photographs and what weight files hold.
        The number of threads is left out: it changes the last bits of the weights only, and is not the same everywhere."""
        return _sha256({"settings": _changed(_deciding(self.config)), "budget": dataclasses.asdict(budget)})

    @property
    def model_digest(self) -> str:
        """SHA-256 of the settings that the embedder's size and pace depend on."""
        return _sha256(_changed({"model": experiment(self.config)["model"]}))


def _deciding(config: Config) -> dict[str, Any]:
    """The settings, by section, that the figures of a row depend on."""
    evaluate = dataclasses.asdict(config.evaluate)
    del evaluate["batch_size"]
    common = {name: getattr(config, name) for name in ("device", "precision")}
    return {**experiment(config), "evaluate": evaluate, "start": {"weight": config.train.pretrained_weight}, "common": common}


def _changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that are not as a fresh `Config` has them, so that a digest stays when the project gains one."""
    fresh = _deciding(Config())
    return {
        name: {key: each for key, each in value.items() if each != fresh[name].get(key)} if isinstance(value, dict) else value
        for name, value in settings.items()
        if value != fresh[name]
    }


def _sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A leaderboard: its name is that of its file."""

    name: str
    title: str
    about: str
    budget: Budget
    rows: list[Row]


def read_experiment(path: str | Path, environment: Mapping[str, Any] | None = None) -> Experiment:
    """The leaderboard that a YAML file describes. Raises InputError for the first fault, before anything is trained.

    environment: settings laid on every row that do not change its result, such as threads.
    """
    source = f"leaderboard {brief(str(path))}"
    values = read_yaml(path)
    check_values(values, source)
    try:
        described: Description = TypeAdapter(Description).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(error)}") from error
    if (described.budget.images is None) == (described.budget.seconds is None):
        raise InputError(f"{source}: budget should be either images or seconds, such as {{images: 20000}}")
    for kind, named in (("networks", described.networks), ("methods", described.methods)):
        if not named:
            raise InputError(f"{source}: {kind} is empty; name at least one")
        if odd := [name for name in named if not NAME.fullmatch(name)]:
            raise InputError(
                f"{source}: {kind} has the name {brief(odd[0])}; it should be up to 60 letters of English, digits and ' _.,+-', a"
                f" letter or digit first"
            )
    known = {path.stem: path for path in CONFIGS.glob("*.yaml")}
    if described.base not in known:
        raise InputError(f"{source}: base is {brief(described.base)}; known: {listing(sorted(known), most=99)}")
    _check_layer(described.shared, "shared", source)
    for name, layer in described.methods.items():
        _check_layer(layer, f"the method {name!r}", source, COMMON)
    below = merge(dataclasses.asdict(Config()), read_layer(known[described.base]))
    below = merge(merge(below, described.shared), environment or {})
    pairs = list(dict.fromkeys(pair for block in described.rows for pair in _pairs(block, described, source)))
    if not pairs:
        raise InputError(f"{source}: rows names no network with a method; without rows it is all with all")
    if len(pairs) * len(described.seeds) > MOST_ROWS:
        raise InputError(f"{source} asks for {len(pairs) * len(described.seeds):,} trainings; at most {MOST_ROWS:,} are taken")
    rows = []
    for network, method in pairs:
        layers = merge(merge(below, {"model": described.networks[network]}), described.methods[method])
        for seed in dict.fromkeys(described.seeds):
            config = make_config(merge(layers, {"seed": seed, "name": "row"}), f"{source}, {network} with {method}")
            rows.append(Row(network, method, seed, config))
    return Experiment(Path(path).stem, " ".join(described.title.split()), described.about, described.budget, rows)


def _explain(error: ValidationError) -> str:
    """One sentence about the first fault that pydantic found."""
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"] if not (isinstance(part, str) and "[" in part))  # a type it tried
    if fault["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        section: Any = {"budget": Budget, "rows": Block}.get(str(fault["loc"][0]), Description)
        return f"unknown key {place!r}; known here: {listing([field.name for field in dataclasses.fields(section)], most=99)}"
    if fault["type"] in ("missing", "missing_argument"):
        return f"{place} is missing"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place} is {brief(fault['input'])}, which is wrong: {message[0].lower()}{message[1:]}"


def _check_layer(layer: Mapping[str, Any], name: str, source: str, common: Sequence[str] = ()) -> None:
    """Raise InputError for a setting that has no place in the layer `name`: one of FIXED or `common`."""
    for setting in (*FIXED, *common):
        section, _, field = setting.rpartition(".")
        inner = layer.get(section) if section else layer
        if isinstance(inner, Mapping) and field in inner:
            why = "which the leaderboard sets itself" if setting in FIXED else "which all rows have in common; move it to shared"
            raise InputError(f"{source}: {name} has the setting {setting}, {why}")


def _pairs(block: Block, described: Description, source: str) -> list[tuple[str, str]]:
    chosen = []
    for kind, names, known in (
        ("networks", block.networks, described.networks),
        ("methods", block.methods, described.methods),
    ):
        names = list(known) if isinstance(names, str) else names
        if unknown := [name for name in names if name not in known]:
            raise InputError(f"{source}: rows names the {kind} {listing(unknown)}; known: {listing(known, most=99)}")
        chosen.append(names)
    return [(network, method) for network in chosen[0] for method in chosen[1]]
