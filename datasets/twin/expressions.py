"""The three expressions of the competition, as anny's facial actions (ARKit's names), a little different every time."""

import numpy as np

NEUTRAL: dict[str, tuple[float, float]] = {}
SMILE = {"mouthSmile": (0.75, 1.0), "cheekSquint": (0.4, 0.9), "mouthDimple": (0.0, 0.5), "eyeSquint": (0.2, 0.6)}
FROWN = {
    "browDown": (0.85, 1.0),
    "mouthFrown": (0.7, 1.0),
    "eyeSquint": (0.3, 0.7),
    "noseSneer": (0.3, 0.8),
    "mouthShrugLower": (0.1, 0.5),
    "mouthPress": (0.0, 0.5),
}
EXPRESSIONS = {"E01": NEUTRAL, "E02": SMILE, "E03": FROWN}
IDLE = {"browInnerUp": 0.15, "eyeBlink": 0.2, "eyeWide": 0.15, "mouthPress": 0.15, "mouthUpperUp": 0.06}
"""What any face does a little of, whatever it expresses: largest strength."""


def draw_actions(expression: str, random: np.random.Generator) -> dict[str, float]:
    """Strengths (0 to 1) of facial actions; the person's left and right side differ slightly."""
    actions: dict[str, float] = {}
    ranges = {**{name: (0.0, most) for name, most in IDLE.items()}, **EXPRESSIONS[expression]}
    for name, (low, high) in ranges.items():
        strength = random.uniform(low, high)
        if name in ("browInnerUp", "mouthShrugLower"):
            actions[name] = strength
        else:
            actions |= {name + side: float(np.clip(strength + random.normal(0, 0.05), 0, 1)) for side in ("Left", "Right")}
    return actions
