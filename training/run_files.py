"""Where a run's files are.

<results>/train/logs/<run>.jsonl                         one JSON object per epoch
<results>/train/weights/<run>.unfinished.pt              the best weights so far
<results>/train/weights/<run>.classifier.unfinished.pt   what only training needs of them, if the recipe keeps it
<results>/train/weights/<run>.snapshot                   all state at the end of an epoch, of every save_every-th
<results>/train/weights/<run>.pt                         the best weights of the finished run
<results>/train/weights/<run>.classifier.pt              what only training needs of those
<results>/train/weights/<run>.epoch-010.pt               the weights at the end of an epoch, of every keep_every-th
<results>/train/weights/<run>.epoch-010.classifier.pt    what only training needs of those
<results>/train/weights/<run>.json                       receipt of the finished run
<results>/train/weights/.<run>.lock                      while a process is at this run
"""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from common.config import Config
from common.errors import InputError

OTHER_FILES = re.compile(r".*(\.unfinished|\.classifier|\.epoch-\d+)", re.DOTALL)


@dataclass(frozen=True)
class RunFiles:
    """The paths of one stage of one experiment."""

    name: str
    weights: Path
    draft: Path
    classifier: Path
    classifier_draft: Path
    snapshot: Path
    receipt: Path
    lock: Path
    log: Path

    @classmethod
    def of(cls, config: Config, section: str) -> "RunFiles":
        """section: "pretext" or "train". Raises InputError for a name whose weights would be another run's draft."""
        name = run_name(config, section)
        if OTHER_FILES.fullmatch(name):
            raise InputError(
                f"name is {config.name!r}; it should not end in .unfinished, .classifier or .epoch-<number>, as other files do"
            )
        folder = Path(config.results) / "train" / "weights"
        return cls(
            name,
            weights=folder / f"{name}.pt",
            draft=folder / f"{name}.unfinished.pt",
            classifier=folder / f"{name}.classifier.pt",
            classifier_draft=folder / f"{name}.classifier.unfinished.pt",
            snapshot=folder / f"{name}.snapshot",
            receipt=folder / f"{name}.json",
            lock=folder / f".{name}.lock",
            log=folder.parent / "logs" / f"{name}.jsonl",
        )

    def kept(self, epoch: int) -> dict[str, Path]:
        """Where the weights at the end of an epoch are kept, and what only training needs of them, by what they are."""
        stem = self.weights.with_name(f"{self.name}.epoch-{epoch:03d}")
        return {"weights_digest": Path(f"{stem}.pt"), "classifier_digest": Path(f"{stem}.classifier.pt")}

    def is_kept(self, name: str) -> bool:
        """Whether a file of that name is one that `kept` names for some epoch."""
        return re.fullmatch(rf"{re.escape(self.name)}\.epoch-\d+(\.classifier)?\.pt", name) is not None

    def writes(self, path: str | Path) -> bool:
        """Whether the file at `path` is one of the weights that a run leaves here."""
        same_folder = Path(path).resolve().parent == self.weights.resolve().parent
        name = Path(path).name
        return same_folder and (name in (self.weights.name, self.classifier.name) or self.is_kept(name))

    def make_folders(self) -> None:
        for path in (self.weights, self.log):
            path.parent.mkdir(parents=True, exist_ok=True)

    def forget(self) -> None:
        """Remove what would bind a new run; the weights themselves stay until the new ones come."""
        for path in (self.snapshot, self.draft, self.classifier_draft, self.receipt):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove what a process of this run left half-done when it was killed. Only for who holds the lock."""
        if not self.snapshot.exists():  # then the epochs that the drafts are of will be trained again
            self.draft.unlink(missing_ok=True)
            self.classifier_draft.unlink(missing_ok=True)
        partial = re.compile(rf"\.{re.escape(self.name)}(\.epoch-\d+)?(\.classifier)?(\.unfinished)?\.\d+\.partial(\.\w+)?")
        for folder in (self.weights.parent, self.log.parent):
            for path in folder.iterdir():
                if partial.fullmatch(path.name):
                    path.unlink()


def run_name(config: Config, section: str) -> str:
    """`<name>-pretext` for the pretext stage, `<name>` for the model that ships."""
    return f"{config.name}-pretext" if section == "pretext" else config.name


def generations(config: Config) -> list[Config]:
    """The configuration of each generation of the stage "train", which is an ordinary run: the last has the name itself, those
    before it <name>-1, <name>-2 and so on."""
    count = config.train.generations
    return [
        dataclasses.replace(
            config,
            name=config.name if number == count else f"{config.name}-{number}",
            train=dataclasses.replace(config.train, generations=number),
        )
        for number in range(1, count + 1)
    ]


def further_training(weights: Path) -> Path:
    """The file that a training goes on from, of those that a finished run has left: that of what only training needs, which has
    the network before whitening, or the weights themselves where there is none."""
    beside = weights.with_suffix(".classifier.pt")
    return beside if beside.exists() else weights
