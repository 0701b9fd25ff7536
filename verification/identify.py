"""Recognise people in a gallery: at which rank the person of each probe comes, closed, open, and among many strangers.

    python -m verification.identify --model_weight results/train/weights/triarchy.pt         # the data set's test people
    python -m verification.identify --model_weight W.pt --probes P.csv --gallery G.csv --distractors D.csv --data_root DIR

The lists have columns photograph, identity and, if known, left, top, right, bottom. With a gallery there are the CMC curve and
the rates at rank 1 to 10; with distractors, photographs of people who are in neither of the other lists, MegaFace's rates; with
both, the rates at which probes are recognised while few strangers are (TPIR at FPIR). Without lists, one photograph of each test
person is drawn for the gallery, the others are probes, and the validation people are the distractors. The lists are written
beside the results.
"""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.cli import FROM_THE_WEIGHT_FILE, read_arguments
from common.config import Config
from common.devices import choose_device, seed_everything
from common.errors import InputError, run_script
from common.files import write_json, write_whole
from datasets.manifest import Manifest, codes
from datasets.pairs.draw import random_stream
from datasets.pairs.enrol import draw_gallery, relative_to
from datasets.readers.opening import open_reader
from datasets.readers.photographs_csv import check_roles, people_csv, read_people_csv, together
from models.model_file import digest_of
from verification.embedding import PhotographEmbedder
from verification.evaluation import FOR_PAIRS, FROM_TRAINING, evaluation_config
from verification.identification import cmc, largest_scores, megaface, open_set, person_ranks
from verification.output import check_folder, check_lists, output_folder, written_together
from verification.plots import draw_cmc
from verification.report import plain

SHORT = {
    "model_weight": "evaluate.model_weight",
    "probes": "identify.probes",
    "gallery": "identify.gallery",
    "distractors": "identify.distractors",
    "enrol": "identify.enrol",
    "data_root": "evaluate.data_root",
    "batch_size": "evaluate.batch_size",
}
WITHOUT = (*FROM_TRAINING, "templates", *FOR_PAIRS)
RESULT = "identification.json"
ENDINGS = ("probes.csv", "gallery.csv", "distractors.csv", "cmc.csv", "cmc.png", RESULT)
RANKS = 10


class Lists(NamedTuple):
    """Who is looked for, where, and among whom; file names are relative to `root`."""

    root: Path
    probes: Manifest
    gallery: Manifest | None
    distractors: Manifest | None

    @property
    def given(self) -> dict[str, Manifest]:
        """Those lists that there are, by name."""
        named = {"probes": self.probes, "gallery": self.gallery, "distractors": self.distractors}
        return {name: faces for name, faces in named.items() if faces is not None}


def open_lists(config: Config) -> Lists:
    """The lists that the settings name, or else those drawn from the data set; checked as a whole. Raises InputError."""
    settings = config.identify
    if not settings.probes:
        named = {"gallery": settings.gallery, "distractors": settings.distractors, "data_root": config.evaluate.data_root}
        for option, value in named.items():
            if value:
                raise InputError(
                    f"--{option} {value} needs --probes; without it the lists are drawn from the data set in --data.root"
                )
        return _drawn(config)
    if settings.enrol:
        raise InputError(
            "--enrol chooses the gallery that is drawn from the data set; with --probes, the --gallery says who is in it"
        )
    if not (settings.gallery or settings.distractors):
        raise InputError("--probes needs --gallery, in which to look for their people, or --distractors, or both")
    root = Path(config.evaluate.data_root or Path(settings.probes).parent)
    probes = read_people_csv(settings.probes, root)
    gallery = read_people_csv(settings.gallery, root) if settings.gallery else None
    distractors = read_people_csv(settings.distractors, root, identified=False) if settings.distractors else None
    check_roles(probes, gallery, distractors)
    return Lists(root, probes, gallery, distractors)


def _drawn(config: Config) -> Lists:
    reader = open_reader(config.data)
    known, others = (relative_to(reader.faces(split), reader.root) for split in ("test", "validate"))
    if not known.identities:
        raise InputError(
            f"reader {config.data.reader['name']!r} does not know whom its test photographs show; give --probes and --gallery"
        )
    probes, gallery = draw_gallery(known, config.identify.enrol, random_stream(config.seed, "gallery"))
    check_roles(probes, gallery, others)
    return Lists(reader.root, probes, gallery, others)


class Identification:
    """The lists and the embedder: `embed`, `measure`, `write`. Raises InputError, before any photograph is read, for whatever
    would keep the result from being written at the end."""

    def __init__(self, config: Config):
        self.config, self.started = config, time.monotonic()
        self.lists = open_lists(config)
        self.texts = {name: people_csv(faces) for name, faces in self.lists.given.items()}
        self.digest = hashlib.sha256("\0".join(f"{name}\0{text}" for name, text in self.texts.items()).encode()).hexdigest()
        check_folder(config, ENDINGS)
        check_lists(config, RESULT, self.digest)
        boxes = config.data.boxes if config.identify.probes else ""  # the reader has laid them on its photographs already
        known = together(list(self.lists.given.values()), self.lists.root, boxes)
        self.embedder = PhotographEmbedder(config, known, choose_device(config.device))
        counts = ", ".join(f"{len(faces):,} {name}" for name, faces in self.lists.given.items())
        print(f"identify: {counts}; {len(known):,} photographs, {config.evaluate.model_weight}")

    def embed(self) -> dict[str, np.ndarray] | None:
        """The embeddings of each list, float32 [N, D]; of several processes in the leading one alone, else None."""
        embeddings = self.embedder.embed()
        if embeddings is None:
            return None
        vectors = embeddings.vectors(self.config.evaluate.flip)
        broken = ~np.isfinite(vectors).all(axis=1)
        if broken.any():
            raise InputError(f"{broken.sum():,} of {len(vectors):,} embeddings are not finite; finite weights give finite ones")
        place = {name: row for row, name in enumerate(embeddings.file_names)}
        return {name: vectors[[place[file] for file in faces.file_names]] for name, faces in self.lists.given.items()}

    def measure(self, vectors: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The figures, and the curves over the rank by name: float64 [ranks]."""
        probes, gallery, distractors = self.lists.probes, self.lists.gallery, self.lists.distractors
        similarity, labels = self.config.similarity, probes.labels()
        figures: dict[str, Any] = {}
        curves: dict[str, np.ndarray] = {}
        if gallery is not None:
            people = gallery.identities
            places = {name: row for row, name in enumerate(gallery.file_names)}
            itself = np.array([places.get(name, -1) for name in probes.file_names], dtype=np.int64)
            shown = [codes(faces.table["face_id"], people) for faces in (probes, gallery)]
            own, ranks = person_ranks(vectors["probes"], shown[0], vectors["gallery"], shown[1], itself, similarity)
            curves["gallery"] = cmc(ranks, len(people))
            figures["closed_set"] = _by_rank(curves["gallery"]) | {"people": len(people), "probes": len(probes)}
        if distractors is not None:
            nearest = largest_scores(vectors["probes"], vectors["distractors"], min(RANKS, len(distractors)), similarity)
            rates, pairs = megaface(vectors["probes"], labels, nearest, similarity)
            if pairs:
                curves["distractors"] = rates
            figures["megaface"] = _by_rank(rates) | {"pairs": pairs, "distractors": len(distractors)}
        if gallery is not None and distractors is not None:
            best = largest_scores(vectors["distractors"], vectors["gallery"], 1, similarity)[:, 0]
            figures["open_set"] = {"tpir_at_fpir": open_set(own, ranks, best), "strangers": len(distractors)}
        about = {
            "similarity": similarity,
            "flip": self.config.evaluate.flip,
            "images": len(self.embedder.known),
            "parameters": self.embedder.parameters,
            "seconds": round(time.monotonic() - self.started, 2),
            "weights_digest": digest_of(self.config.evaluate.model_weight),
            "lists_digest": self.digest,
        }
        return figures | about, curves

    def write(self, figures: Mapping[str, Any], curves: Mapping[str, np.ndarray]) -> Path:
        """Write lists, curves and figures, all or nothing; return the path of the figures."""
        run, folder = self.config.name, output_folder(self.config)
        with written_together(folder, run, ENDINGS) as hidden:
            for name, text in self.texts.items():
                write_whole(hidden / f"{run}_{name}.csv", text)
            if curves:
                write_whole(hidden / f"{run}_cmc.csv", _curves_csv(curves))
                write_whole(hidden / f"{run}_cmc.png", lambda path: draw_cmc(path, run, curves))
            write_json(hidden / f"{run}_{RESULT}", plain(figures))
        return folder / f"{run}_{RESULT}"


def _by_rank(rates: np.ndarray) -> dict[str, Any]:
    return {"accuracy_at_rank": {str(rank): float(rate) for rank, rate in enumerate(rates[:RANKS], start=1)}}


def _curves_csv(curves: Mapping[str, np.ndarray]) -> str:
    """rank and the rate of each curve; empty where a curve has ended."""
    rows = [",".join(["rank", *curves])]
    for rank in range(max(map(len, curves.values()))):
        rates = [f"{rates[rank]:.9g}" if rank < len(rates) else "" for rates in curves.values()]
        rows.append(",".join([str(rank + 1), *rates]))
    return "\n".join(rows) + "\n"


def print_identification(figures: Mapping[str, Any]) -> None:
    """The rates, a rule a line."""
    rules = {"closed_set": "in the gallery", "megaface": "among distractors"}
    given = {title: figures[key]["accuracy_at_rank"] for key, title in rules.items() if key in figures}
    ranks = [str(rank) for rank in (1, 2, 5, 10) if any(str(rank) in rates for rates in given.values())]
    print(f"  {'rank':<18}" + "".join(f"{rank:>9}" for rank in ranks))
    for title, rates in given.items():
        print(f"  {title:<18}" + "".join(f"{rates[rank]:>9.2%}" if _known(rates.get(rank)) else f"{'-':>9}" for rank in ranks))
    for target, rate in figures.get("open_set", {}).get("tpir_at_fpir", {}).items():
        if rate:
            print(f"  TPIR at FPIR {target:<5}{rate['tpir']:9.2%} (matches above {rate['above']:.4f})")
        else:
            print(f"  TPIR at FPIR {target:<5}        - (it takes {round(1 / float(target)):,} distractors or more)")


def _known(rate: float | None) -> bool:
    return rate is not None and np.isfinite(rate)


def identify(config: Config) -> Path:
    """Draw or read the lists, embed their photographs, print and write the figures; return the path of the figures."""
    seed_everything(config.seed, config.threads)
    identification = Identification(config)
    vectors = identification.embed()
    if vectors:  # else this is one of several processes, and not the one that measures
        figures, curves = identification.measure(vectors)
        print_identification(figures)
        identification.write(figures, curves)
    return output_folder(config) / f"{config.name}_{RESULT}"


def main() -> None:
    arguments = read_arguments(__doc__, SHORT, without=WITHOUT, defaults=FROM_THE_WEIGHT_FILE)
    result = identify(evaluation_config(arguments.configs, arguments.overrides, "identify.probes"))
    print(f"identification: {result}")


if __name__ == "__main__":
    run_script(main, go_on="nothing was written")
