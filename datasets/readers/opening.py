"""From the data section of a config to a reader."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from common.config import ENVIRONMENT, DataConfig
from common.errors import InputError
from datasets import READERS, Reader

OWN_PHOTOGRAPHS = ("orl", "twin")  # readers that bring photographs and need no root


def open_reader(config: DataConfig) -> Reader:
    """The configured reader. Raises InputError for an unknown one, an absent root or an option that it does not have."""
    settings = dataclasses.asdict(config)
    options: dict[str, Any] = {
        name: value
        for name, value in settings.items()
        if value is not None and name != "reader" and f"data.{name}" not in ENVIRONMENT
    }
    if config.reader in READERS and not config.root and config.reader not in OWN_PHOTOGRAPHS:
        raise InputError(f"reader {config.reader!r} needs the data set's folder: pass --data.root DIR")
    return READERS.build(config.reader, options)


SPLIT_SETTINGS = ("fold", "subset", "validate_share", "test_share", "split_seed")
OWN_DATA = ("folder", "competition", "twin")  # readers whose root says which data it is; all others read one published set


def check_same_split(trained: Mapping[str, Any], config: DataConfig, source: str) -> None:
    """Refuse data of which another split trained a model: people it is tested on might be people it has seen.

    trained: the data settings in the weight file `source`. Raises InputError.
    """
    if trained.get("reader") != config.reader:
        return
    if config.reader in OWN_DATA and os.path.realpath(str(trained.get("root"))) != os.path.realpath(config.root):
        return
    for name in SPLIT_SETTINGS:
        now = getattr(config, name)
        if trained.get(name) != now:
            raise InputError(
                f"{source} was trained with data.{name} = {trained.get(name)}, and now data.{name} = {now}: people who trained"
                f" it could stand in this test; use the same split"
            )
