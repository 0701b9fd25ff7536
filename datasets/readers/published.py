"""What the readers of published verification protocols share: a list of test pairs, and the photographs that stand in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from common.errors import InputError, listing
from common.files import existing_folder
from datasets.manifest import Manifest, Pairs
from datasets.readers.pair_lists import Listed
from datasets.readers.presence import check_files


class PublishedPairs:
    """Base of a reader that has test pairs only, in the order of their list.

    root: the folder given. photographs: the folder in it that file names are relative to. pairs: those of the list.
    source: the list, for messages. face_ids, attributes: what is known of the photographs, by file name. Raises InputError
    for photographs that are missing or lie outside their folder.
    """

    title: ClassVar[str]

    def __init__(
        self,
        root: Path,
        photographs: Path,
        pairs: Sequence[Listed],
        source: str,
        face_ids: Mapping[str, str] | None = None,
        attributes: Mapping[str, Mapping[str, str]] | None = None,
    ):
        self.root = root
        first, second, same, _ = zip(*pairs)
        self._pairs = Pairs.of(first, second, same, photographs)
        names = self._pairs.file_names
        check_files(photographs, names, source)
        told = {name: [values[file] for file in names] for name, values in (attributes or {}).items()}
        self._faces = Manifest.of_columns(names, [(face_ids or {}).get(name) for name in names], told, photographs)

    def faces(self, split: str) -> Manifest:
        """The photographs of the test pairs, sorted by name."""
        self._check_split(split)
        return self._faces

    def pairs(self, split: str) -> Pairs:
        """The test pairs."""
        self._check_split(split)
        return self._pairs

    def _check_split(self, split: str) -> None:
        if split != "test":
            raise InputError(
                f"{self.title} has test pairs only and nothing to {split} on; train on another data set and give this one to"
                f" evaluate.py"
            )


def dataset_folder(root: str, title: str, inside: str) -> Path:
    """`root` if it is a folder; else InputError that says what `inside` it should be."""
    return existing_folder(root, f"{title}'s folder, with {inside} in it")


def chosen_or_first(root: Path, chosen: str, usual: Sequence[str], option: str) -> Path:
    """`root/chosen`, which must exist, or without a choice the first of the `usual` names that does. Raises InputError."""
    names = [chosen] if chosen else usual
    found = [root / name for name in names if (root / name).exists()]
    if not found:
        raise InputError(f"{str(root)!r} has no {listing(map(repr, names))}; name it with --data.reader.{option}=NAME")
    return found[0]
