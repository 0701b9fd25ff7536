"""From the data section of a config to a reader."""

import dataclasses
from typing import Any

from config import DataConfig
from datasets import READERS, Reader
from errors import InputError


def open_reader(config: DataConfig) -> Reader:
    """The configured reader. Raises InputError for an unknown one, an absent root or an option that it does not have."""
    options: dict[str, Any] = {name: value for name, value in dataclasses.asdict(config).items() if value is not None}
    for environment in ("reader", "workers"):
        del options[environment]
    if config.reader in READERS and not config.root and config.reader != "orl":
        raise InputError(f"reader {config.reader!r} needs the data set's folder: pass --data.root DIR")
    return READERS.build(config.reader, options)
