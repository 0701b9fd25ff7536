"""Lists for identification and for templates, drawn from people whose photographs a reader knows."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import InputError, listing
from common.progress import say
from datasets.manifest import Manifest, Pairs

MOST_TEMPLATE_PAIRS = 2_000_000


def draw_gallery(faces: Manifest, enrol: Mapping[str, str], generator: np.random.Generator) -> tuple[Manifest, Manifest]:
    """Probes and gallery: one photograph of each person is drawn for the gallery, and all others are probes.

    enrol: attributes that a photograph of the gallery has, such as {"angle": "C7"}. People of whom no photograph has them are
    left out, which is said in a line. Raises InputError for attributes or values that no photograph has, and if no probe is left.
    """
    fit = np.ones(len(faces), dtype=bool)
    for attribute, value in enrol.items():
        known = sorted(faces.table[attribute].dropna().unique()) if attribute in faces.attributes else []
        if value not in known:
            attributes = listing(faces.attributes) or "none"
            right = f"{attribute} is one of {listing(known, most=20)}" if known else f"its attributes are {attributes}"
            raise InputError(f"identify.enrol asks for {attribute} {value!r}, which no photograph has; {right}")
        fit &= (faces.table[attribute] == value).to_numpy()
    labels = faces.labels()
    people = np.unique(labels[labels >= 0])
    of = [np.flatnonzero(fit & (labels == person)) for person in people]
    drawn = np.array([generator.choice(rows) for rows in of if len(rows)], dtype=np.int64)
    left_out = [faces.identities[person] for person, rows in zip(people, of) if not len(rows)]
    if left_out:
        say(f"{len(left_out):,} of {len(people):,} people have no photograph to enrol and are left out: {listing(left_out)}")
    enrolled = np.isin(np.arange(len(faces)), drawn)
    probe = np.isin(labels, labels[drawn]) & ~enrolled
    if not probe.any():
        raise InputError(f"no probe is left: of {len(people):,} people nobody has a photograph to enrol and another one")
    return faces.where(probe), faces.where(enrolled)


def deal_templates(faces: Manifest, size: int, medium: str, generator: np.random.Generator) -> pd.DataFrame:
    """The photographs of each person, shuffled and dealt into templates of `size` or, so that none is left, some more.

    Columns photograph, template (<person>/<number>), medium (the photograph's attribute of this name; empty: unknown, or no name
    given), quality (1). Photographs without an identity are left out. Raises InputError for an attribute that no photograph has.
    """
    if medium and medium not in faces.attributes:
        raise InputError(
            f"templates.medium is {medium!r}; it should be one of the attributes: {listing(faces.attributes) or 'none'}"
        )
    labels, names = faces.labels(), faces.table["file_name"].to_numpy(dtype=object)
    media = faces.table[medium].fillna("").to_numpy(dtype=object) if medium else np.full(len(faces), "", dtype=object)
    rows = []
    for label, person in enumerate(faces.identities):
        own = generator.permutation(np.flatnonzero(labels == label))
        for number, part in enumerate(np.array_split(own, max(1, len(own) // size)), start=1):
            rows += [(names[row], f"{person}/{number}", media[row] or names[row], 1.0) for row in np.sort(part)]
    return pd.DataFrame(rows, columns=["photograph", "template", "medium", "quality"])


def all_template_pairs(templates: pd.DataFrame) -> Pairs:
    """Every two templates of `deal_templates`, each pair once. Raises InputError if there are too few or very many."""
    names = templates["template"].unique().tolist()
    count = len(names) * (len(names) - 1) // 2
    if not 1 <= count <= MOST_TEMPLATE_PAIRS:
        raise InputError(
            f"{len(names):,} templates make {count:,} pairs; it should be 1 to {MOST_TEMPLATE_PAIRS:,}: choose another"
            f" templates.size, or give lists of your own"
        )
    first, second = zip(*combinations(names, 2))
    same = [one.rpartition("/")[0] == other.rpartition("/")[0] for one, other in zip(first, second)]
    return Pairs.of(first, second, same, Path())


def relative_to(faces: Manifest, root: Path) -> Manifest:
    """The same faces with names relative to the folder `root`, in which their own root lies."""
    prefix = faces.root.relative_to(root).as_posix()
    if prefix == ".":
        return faces
    return replace(faces, root=root, table=faces.table.assign(file_name=prefix + "/" + faces.table["file_name"]))
