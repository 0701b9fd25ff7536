"""Who a person is: shape of the head, skin, eyes, brows, hair, beard. Everything that must not change between photographs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from datasets.twin.heads import Face

SPREAD = {"head": 0.18, "neck": 0.15, "ear": 0.3}  # standard deviation of a local change by part of the head
SPREAD_ELSEWHERE = 0.45  # lifelike; larger gives caricatures
ASYMMETRY = 0.04
SKIN = np.array([[242, 208, 190], [226, 180, 150], [196, 143, 108], [150, 98, 70], [104, 66, 48], [68, 44, 34]], np.float32)
"""sRGB of skin from the palest to the darkest."""
HAIR = {
    "black": (28, 24, 23),
    "dark brown": (52, 36, 28),
    "brown": (92, 62, 42),
    "auburn": (110, 52, 30),
    "blond": (178, 140, 90),
    "grey": (150, 148, 146),
}
IRIS = {"dark brown": (52, 32, 22), "brown": (98, 62, 34), "hazel": (120, 98, 52), "green": (92, 112, 78), "blue": (98, 130, 158)}
BEARDS = ("none", "stubble", "moustache", "goatee", "full")
HATS = ("beanie", "cap")


@dataclass(frozen=True)
class Hair:
    """Style of the hair. Angles in degrees of elevation from the head's centre, thickness in metres."""

    colour: np.ndarray  # linear RGB
    forehead: float  # elevation of the hairline over the forehead
    recession: float  # how much higher it lies at the temples
    long: float  # 0 ends above the ears, 1 falls behind and over them to the shoulders
    top: float
    sides: float
    curl: float  # 0 straight to 1 tight curls
    bald: bool  # a bare crown
    parting: float  # azimuth of the parting
    fringe: float  # 0 none, 1 down to the brows


@dataclass(frozen=True)
class Person:
    """One identity of the twin. Colours are linear RGB, 0 to 1."""

    face: Face
    age: float  # 0 young adult to 1 old
    skin: np.ndarray
    blush: float
    freckles: float
    moles: np.ndarray  # [n, 4]: two random numbers that choose the place, radius in metres, darkness
    iris: np.ndarray
    lips: np.ndarray  # factor on the skin's colour
    brow_height: float  # metres above the eye
    brow_width: float
    brow_arch: float
    brow_length: float
    brow_density: float
    lid_shadow: float
    hair: Hair
    beard: str
    texture: int  # seed of the skin's and the hair's own noise
    glasses: np.ndarray  # five shares: size, aspect, roundness, thickness, colour; a person owns one pair
    hat: str
    hat_colour: np.ndarray


def draw_person(seed: int, person: int, local_labels: list[str]) -> Person:
    """Person number `person` of the population `seed`; independent of how many others there are."""
    random = np.random.default_rng((seed, 1, person))
    ancestry = random.dirichlet([0.5] * 3)  # african, asian, caucasian
    gender, years = float(random.beta(0.35, 0.35)), float(random.beta(1.2, 2.2))
    male = gender > 0.5
    phenotype = {
        "gender": gender,
        "age": 0.5 + 0.45 * years,
        "muscle": float(random.uniform(0.2, 0.8)),
        "weight": float(random.uniform(0.15, 0.9)),
        "height": 0.5,
        "proportions": float(random.uniform(0.4, 0.9)),
        **dict(zip(("african", "asian", "caucasian"), map(float, ancestry))),
    }
    darkness = np.clip(0.04 + 0.80 * ancestry[0] + 0.22 * ancestry[1] + random.normal(0, 0.08), 0, 1)
    skin = _between(SKIN, darkness) * random.normal(1, 0.02, 3).astype(np.float32)
    fair = ancestry[2] ** 2
    return Person(
        face=Face(phenotype, _local_changes(random, local_labels)),
        age=years,
        skin=skin,
        blush=float(random.uniform(0, 1)) * float(1 - 0.7 * darkness),
        freckles=float(max(0.0, random.normal(-0.2, 0.5))) * float(fair),
        moles=_moles(random),
        iris=_iris(random, fair),
        lips=np.array([random.uniform(0.78, 1.05), random.uniform(0.45, 0.75), random.uniform(0.5, 0.8)], np.float32),
        brow_height=random.uniform(0.017, 0.024),
        brow_width=random.uniform(0.0026, 0.0050) * (1.25 if male else 0.9),
        brow_arch=random.uniform(0.0, 0.006),
        brow_length=random.uniform(0.85, 1.1),
        brow_density=random.uniform(0.6, 1.0),
        lid_shadow=random.uniform(0.0, 0.25) if male else random.uniform(0.1, 0.7),
        hair=_hair(random, male, years, ancestry, fair),
        beard=str(random.choice(BEARDS, p=[0.4, 0.25, 0.1, 0.1, 0.15])) if male else "none",
        texture=int(random.integers(2**31)),
        glasses=random.random(5).astype(np.float32),
        hat=str(random.choice(HATS)),
        hat_colour=linear(random.uniform(25, 220, 3)),
    )


def linear(srgb: ArrayLike) -> np.ndarray:
    """sRGB 0 to 255 -> linear light 0 to 1, float32."""
    share = np.asarray(srgb, np.float32) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _local_changes(random: np.random.Generator, labels: list[str]) -> dict[str, float]:
    """Normal draws clipped to [-1, 1]; the right side follows the left up to a small asymmetry."""
    changes = {}
    for label in labels:
        part = label.removeprefix("l-").split("-")[0]
        value = random.normal(0, SPREAD.get(part, SPREAD_ELSEWHERE))
        changes[label] = float(np.clip(value, -1, 1))
        if label.startswith("l-"):
            changes["r-" + label.removeprefix("l-")] = float(np.clip(value + random.normal(0, ASYMMETRY), -1, 1))
    return changes


def _moles(random: np.random.Generator) -> np.ndarray:
    count = random.poisson(1.5)
    return np.stack(
        [random.random(count), random.random(count), random.uniform(0.0012, 0.0028, count), random.uniform(0.4, 0.9, count)],
        axis=1,
    ).astype(np.float32)


def _iris(random: np.random.Generator, fair: float) -> np.ndarray:
    light = 0.75 * fair
    shares = np.array([0.6 * (1 - light), 0.4 * (1 - light) + 0.15 * light, 0.25 * light, 0.2 * light, 0.4 * light])
    return linear(IRIS[list(IRIS)[random.choice(len(IRIS), p=shares / shares.sum())]] * random.uniform(0.85, 1.15, 3))


def _hair(random: np.random.Generator, male: bool, years: float, ancestry: np.ndarray, fair: float) -> Hair:
    shares = np.array([0.75 - 0.6 * fair, 0.25, 0.1 + 0.3 * fair, 0.15 * fair, 0.4 * fair])
    colour = linear(np.array(HAIR[list(HAIR)[random.choice(5, p=shares / shares.sum())]]) * random.uniform(0.85, 1.15))
    grey = np.clip((years - 0.55) * 2.4 + random.normal(0, 0.2), 0, 1)
    colour = colour * (1 - grey) + linear(HAIR["grey"]) * grey
    curl = float(np.clip(random.beta(0.6, 1.5) + 0.7 * ancestry[0], 0, 1))
    cropped = male and random.random() < 0.3
    return Hair(
        colour=colour.astype(np.float32),
        forehead=float(random.uniform(27, 37) + (8 * years * random.random() if male else 0)),
        recession=float(random.uniform(0, 14) if male else random.uniform(-4, 4)),
        long=float(random.beta(0.5, 4) if male else random.beta(1.6, 0.9)),
        top=0.004 if cropped else random.uniform(0.010, 0.034),
        sides=0.0025 if cropped else random.uniform(0.004, 0.018),
        curl=curl,
        bald=bool(male and random.random() < 0.1 + 0.25 * years),
        parting=float(random.choice([-1, 1]) * random.uniform(8, 35)),
        fringe=float(random.random() < (0.12 if male else 0.3)),
    )


def _between(table: np.ndarray, share: float) -> np.ndarray:
    """Interpolate linearly along the rows of an sRGB table, share 0 to 1 -> linear RGB."""
    place = share * (len(table) - 1)
    low = min(int(place), len(table) - 2)
    return linear(table[low] + (table[low + 1] - table[low]) * (place - low))
