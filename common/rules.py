"""The rules by which a threshold is chosen, as one types them: calibrated, median, far:1e-3 or a number."""

import math

RATES = tuple(f"{digit}e-{power}" for power in range(1, 7) for digit in (5, 2, 1))[2:]
"""False accept rates for which weight files keep thresholds: 1e-1, 5e-2, 2e-2, 1e-2, ... 1e-6."""
FAR = "far:"


def known_rule(rule: object) -> str | float:
    """The rule, a number as a float. Raises ValueError, which says what it should be, for one that gives no threshold."""
    if isinstance(rule, str) and (rule in ("calibrated", "median") or far_rate(rule)):
        return rule
    if isinstance(rule, (int, float)) and not isinstance(rule, bool) and abs(rule) < 1e300 and math.isfinite(rule):
        return float(rule)
    rates = ", ".join(RATES)
    raise ValueError(f"it should be 'calibrated', 'median', a finite number or a false accept rate, 'far:' and one of {rates}")


def far_rate(rule: object) -> str | None:
    """The one of RATES that a rule such as far:1e-3 or far:0.001 names; None for any other rule."""
    if not (isinstance(rule, str) and rule.startswith(FAR)):
        return None
    try:
        rate = float(rule.removeprefix(FAR))
    except ValueError:
        return None
    return next((name for name in RATES if float(name) == rate), None)
