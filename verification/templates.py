"""Verify templates, each of several photographs of one person, as on IJB-C: embeddings are fused, then compared by cosine.

    python -m verification.templates --model_weight results/train/weights/triarchy.pt        # the data set's test people
    python -m verification.templates --model_weight W.pt --photographs T.csv --pairs P.csv --data_root DIR

T.csv has columns photograph, template, medium and, if known, quality (such as the detector's score) and left, top, right, bottom;
an empty medium is one by itself. P.csv has columns template1, template2 and, where answers are known, same or label, as for
evaluate.py. Without lists, the photographs of each test person are dealt into templates, all of which are compared. The lists
are written beside the results.
"""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from common.cli import FROM_THE_WEIGHT_FILE, read_arguments
from common.config import Config
from common.devices import choose_device, seed_everything
from common.errors import InputError, run_script
from common.files import write_json, write_whole
from datasets.manifest import BOX, Manifest, Pairs
from datasets.pairs.draw import random_stream
from datasets.pairs.enrol import all_template_pairs, deal_templates, relative_to
from datasets.readers.opening import open_reader
from datasets.readers.photographs_csv import read_template_pairs, read_templates_csv, together
from models.embed import Embeddings
from models.model_file import digest_of
from verification.decisions import finite
from verification.embedding import PhotographEmbedder
from verification.evaluation import FOR_PAIRS, FROM_TRAINING, evaluation_config
from verification.fusion import fuse, template_metrics, unresolved
from verification.output import check_folder, check_lists, output_folder, written_together
from verification.plots import draw_roc
from verification.report import plain
from verification.scores import score_pairs

SHORT = {
    "model_weight": "evaluate.model_weight",
    "photographs": "templates.photographs",
    "pairs": "templates.pairs",
    "data_root": "evaluate.data_root",
    "batch_size": "evaluate.batch_size",
}
WITHOUT = (*FROM_TRAINING, "identify", *FOR_PAIRS)
RESULT = "templates.json"
ENDINGS = ("template_photographs.csv", "template_pairs.csv", "template_scores.csv", "template_roc.png", RESULT)


class Lists(NamedTuple):
    """The photographs of each template, what is known of each photograph, and the pairs of templates."""

    templates: pd.DataFrame
    known: Manifest
    pairs: Pairs


def open_lists(config: Config) -> Lists:
    """The lists that the settings name, or else templates dealt from the data set; checked as a whole. Raises InputError."""
    settings = config.templates
    if bool(settings.photographs) != bool(settings.pairs):
        raise InputError("--photographs and --pairs belong together; give both, or neither to draw them from the data set")
    if settings.photographs:
        root = Path(config.evaluate.data_root or Path(settings.photographs).parent)
        templates, faces = read_templates_csv(settings.photographs, root)
        pairs = read_template_pairs(settings.pairs, templates["template"])
        return Lists(templates, together([faces], root, config.data.boxes), pairs)
    if config.evaluate.data_root:
        raise InputError(f"--data_root {config.evaluate.data_root} needs --photographs and --pairs")
    reader = open_reader(config.data)
    faces = relative_to(reader.faces("test"), reader.root)
    if not faces.identities:
        raise InputError(
            f"reader {config.data.reader['name']!r} does not know whom its test photographs show; give --photographs and --pairs"
        )
    templates = deal_templates(faces, settings.size, settings.medium, random_stream(config.seed, "templates"))
    return Lists(templates, together([faces], reader.root), all_template_pairs(templates))


class TemplateVerification:
    """The lists and the embedder: `embed`, `score`, `measure`, `write`. Raises InputError, before any photograph is read, for
    whatever would keep the result from being written at the end."""

    def __init__(self, config: Config):
        self.config, self.started = config, time.monotonic()
        self.templates, known, self.pairs = open_lists(config)
        self.texts = {"photographs": _photographs_csv(self.templates, known), "pairs": _pairs_csv(self.pairs)}
        self.digest = hashlib.sha256("\0".join(self.texts.values()).encode()).hexdigest()
        check_folder(config, ENDINGS)
        check_lists(config, RESULT, self.digest)
        self.embedder = PhotographEmbedder(config, known, choose_device(config.device))
        self.count = self.templates["template"].nunique()
        what = f"{len(self.pairs):,} pairs of {self.count:,} templates, {len(known):,} photographs"
        print(f"templates: {what}, {config.evaluate.model_weight}")

    def embed(self) -> Embeddings | None:
        """Decode and embed every photograph once; None for all but the leading one of several processes."""
        return self.embedder.embed()

    def score(self, embeddings: Embeddings) -> np.ndarray:
        """Cosine of each pair of templates, float64 [P]."""
        vectors, names = fuse(embeddings.vectors(self.config.evaluate.flip), list(embeddings.file_names), self.templates)
        return finite(score_pairs(vectors, names, self.pairs, "cosine"))

    def measure(self, scores: np.ndarray) -> dict[str, Any]:
        """The figures of the pairs that have an answer."""
        answered = self.pairs.answered
        figures = template_metrics(scores[answered], self.pairs.where(answered).same) if answered.any() else {}
        return figures | {
            "note": unresolved(figures) if figures else "no answers are known, so there are no rates",
            "templates": self.count,
            "pairs": len(self.pairs),
            "flip": self.config.evaluate.flip,
            "images": len(self.embedder.known),
            "parameters": self.embedder.parameters,
            "seconds": round(time.monotonic() - self.started, 2),
            "weights_digest": digest_of(self.config.evaluate.model_weight),
            "lists_digest": self.digest,
        }

    def write(self, scores: np.ndarray, figures: Mapping[str, Any]) -> Path:
        """Write lists, scores and figures, all or nothing; return the path of the figures."""
        run, folder = self.config.name, output_folder(self.config)
        answered = self.pairs.answered
        with written_together(folder, run, ENDINGS) as hidden:
            for name, text in self.texts.items():
                write_whole(hidden / f"{run}_template_{name}.csv", text)
            write_whole(hidden / f"{run}_template_scores.csv", _scores_csv(self.pairs, scores))
            if figures.get("tar_at_far"):
                same = self.pairs.where(answered).same
                write_whole(hidden / f"{run}_template_roc.png", lambda path: draw_roc(path, run, scores[answered], same))
            write_json(hidden / f"{run}_{RESULT}", plain(figures))
        return folder / f"{run}_{RESULT}"


def _photographs_csv(templates: pd.DataFrame, known: Manifest) -> str:
    """The list that `read_templates_csv` reads."""
    if known.boxes is not None:
        boxes = known.of_files(templates["photograph"]).boxes
        assert boxes is not None  # the others have some, too
        templates = templates.assign(**dict(zip(BOX, boxes.T)))
    return templates.to_csv(index=False, lineterminator="\n")


def _pairs_csv(pairs: Pairs) -> str:
    """The list that `read_template_pairs` reads."""
    same = pairs.table["same"].map({True: "1", False: "0"}).fillna("")
    columns = {"template1": pairs.table["first"], "template2": pairs.table["second"], "same": same}
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")


def _scores_csv(pairs: Pairs, scores: np.ndarray) -> str:
    columns = {"template1": pairs.table["first"], "template2": pairs.table["second"], "score": scores}
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n", float_format="%.9g")


def print_templates(figures: Mapping[str, Any]) -> None:
    """The rates by the FAR, the smallest first."""
    if figures.get("tar_at_far"):
        print(f"  {'FAR':<18}" + "".join(f"{name:>9}" for name in figures["tar_at_far"]))
        for key, title in (("tar_at_far", "TAR"), ("tar_at_nearest_far", "at the nearest FAR")):
            print(f"  {title:<18}" + "".join(f"{'-':>9}" if rate is None else f"{rate:>9.2%}" for rate in figures[key].values()))
    if figures["note"]:
        print(f"  {figures['note']}")


def verify_templates(config: Config) -> Path:
    """Draw or read the lists, embed and fuse the photographs, print and write the figures; return the path of the figures."""
    seed_everything(config.seed, config.threads)
    verification = TemplateVerification(config)
    embeddings = verification.embed()
    if embeddings:  # else this is one of several processes, and not the one that measures
        scores = verification.score(embeddings)
        figures = verification.measure(scores)
        print_templates(figures)
        verification.write(scores, figures)
    return output_folder(config) / f"{config.name}_{RESULT}"


def main() -> None:
    arguments = read_arguments(__doc__, SHORT, without=WITHOUT, defaults=FROM_THE_WEIGHT_FILE)
    result = verify_templates(evaluation_config(arguments.configs, arguments.overrides, "templates.photographs"))
    print(f"templates: {result}")


if __name__ == "__main__":
    run_script(main, go_on="nothing was written")
