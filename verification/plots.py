"""Pictures of a verification result; equal results give equal bytes."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from verification.labels import families, shown
from verification.metrics import TARGETS, equal_error_rate, natural, roc, tar_at_far

BLUE, VERMILLION, BLACK, GREY = "#0072B2", "#D55E00", "#000000", "#767676"  # Okabe and Ito: told apart by all viewers
CURVES = [BLUE, VERMILLION, "#009E73", "#CC79A7", BLACK, "#E69F00", "#56B4E9"]
DOTS_PER_INCH = 120
MOST_ANNOTATED = 20  # more angles than this leave no room for numbers in the cells
MOST_ANGLES = 60  # more leave no room for their names
NAME, ANGLE = 60, 24  # longest names of runs and of angles, in characters


def draw_roc(path: Path, run: str, scores: np.ndarray, same: np.ndarray) -> None:
    """PNG of the ROC over a logarithmic false accept rate, with the area, the EER and TAR at the usual FARs.

    scores: float64 [P], higher = more alike. same: bool [P], with both answers among them.
    """
    far, tar = roc(scores, same)
    area = float(np.trapezoid(tar, far))
    eer = equal_error_rate(far, tar)
    finest = min(1 / np.count_nonzero(~same), *TARGETS.values())
    left = 0.7 * finest  # a logarithmic axis has no 0: what is reached without a false accept starts at its edge

    def draw(axes: Axes) -> None:
        start = np.count_nonzero(far == 0) - 1
        visible, reached = np.maximum(far[start:], left), tar[start:]
        axes.plot(visible, reached, drawstyle="steps-post", color=BLUE, linewidth=2, label=f"ROC, area {area:.4f}")
        chance = np.geomspace(left, 1, 200)
        axes.plot(chance, chance, color=GREY, linestyle=":", label="chance, area 0.5")
        point = max(eer, left), 1 - eer
        axes.plot(*point, "o", color=VERMILLION, markersize=8, label=f"EER {eer:.2%}", zorder=3, clip_on=False)
        for marker, (name, target) in zip("sD", TARGETS.items(), strict=True):
            rate = tar_at_far(far, tar, target)
            axes.plot(target, rate, marker, color=BLACK, markersize=7, label=f"TAR {rate:.2%} at FAR {name}", zorder=3)
        axes.set(xscale="log", xlim=(left, 1.15), ylim=(-0.02, 1.03), xlabel="false accept rate", ylabel="true accept rate")
        axes.grid(color="#dddddd")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)
        axes.set_title(f"{shown(run, NAME)}: ROC", parse_math=False)

    _save(path, draw, (6.6, 4.6), [run])


def draw_scores(path: Path, run: str, scores: np.ndarray, same: np.ndarray, threshold: float) -> None:
    """PNG of the two histograms of scores, of the same person and of different people, with the decision threshold.

    scores: float64 [P]. same: bool [P]. Each histogram is in shares of its own kind, so that a rare kind stays visible.
    """
    margin = 1e-6 if np.ptp(scores) < 1e-6 else 0.0  # a collapsed network's scores are too close together to be binned
    extent = scores.min() - margin, scores.max() + margin
    bins = np.histogram_bin_edges(scores, bins=int(np.clip(np.sqrt(len(scores)), 5, 60)), range=extent)

    def draw(axes: Axes) -> None:
        for name, color, members in (("different people", VERMILLION, scores[~same]), ("same person", BLUE, scores[same])):
            if members.size:
                counts = np.histogram(members, bins)[0]
                label = f"{name} ({members.size:,} pair{'s' if members.size > 1 else ''})"
                axes.stairs(counts / members.size, bins, fill=True, color=color, alpha=0.3)
                axes.stairs(counts / members.size, bins, color=color, linewidth=2, label=label)
        axes.axvline(threshold, color=BLACK, linestyle="--", linewidth=2, label=f"threshold {threshold:.4g}")
        axes.set(xlabel="score (higher = more alike)", ylabel="share of the pairs of this kind")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#dddddd")
        axes.set_axisbelow(True)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3)
        axes.set_title(f"{shown(run, NAME)}: scores", parse_math=False)

    _save(path, draw, (6.6, 4.6), [run])


def draw_angles(path: Path, run: str, rows: list[dict]) -> None:
    """PNG of the accuracy for each pair of camera angles; `rows` are those of `metrics.breakdown`, at least one.

    The map is symmetric, angles are in natural order, cells carry accuracy and number of pairs (up to 20 angles), and a
    cell without pairs is empty. Colours run from the lowest accuracy, rounded down to 10 % and at most 90 %, to 100 %.
    Of more than 60 angles those 60 are drawn that stand in the most pairs.
    """
    angles, every = _most_frequent(rows)
    place = {angle: number for number, angle in enumerate(angles)}
    accuracy = np.full((len(angles), len(angles)), np.nan)
    pairs = np.zeros((len(angles), len(angles)), dtype=np.int64)
    for row in rows:
        one, other = place.get(row["first"]), place.get(row["second"])
        if one is None or other is None:
            continue
        accuracy[[one, other], [other, one]] = row["accuracy"]
        pairs[[one, other], [other, one]] = row["pairs"]
    lowest = min(0.9, np.floor(10 * np.nanmin(accuracy, initial=1)) / 10)
    names = [shown(angle, ANGLE) for angle in angles]
    side = max(0.72 * min(len(angles), MOST_ANNOTATED), 3)  # inches
    wide = max(map(len, names)) * 0.1 > side / len(angles)  # the names would run into one another

    def draw(axes: Axes) -> None:
        image = axes.imshow(accuracy, cmap="viridis", vmin=lowest, vmax=1)
        axes.set_xticks(range(len(angles)), names, parse_math=False, rotation=90 if wide else 0)
        axes.set_yticks(range(len(angles)), names, parse_math=False)
        axes.tick_params(length=0)
        axes.set_xticks(np.arange(len(angles) + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(len(angles) + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="minor", length=0)
        if len(angles) <= MOST_ANNOTATED:
            for one, other in np.argwhere(pairs > 0):
                dark = accuracy[one, other] < lowest + 0.45 * (1 - lowest)
                text = f"{100 * accuracy[one, other]:.1f}%\n{_count(pairs[one, other])}"
                axes.text(other, one, text, ha="center", va="center", fontsize=9, color="white" if dark else "black")
        bar = axes.inset_axes((1 + 0.15 / side, 0, 0.2 / side, 1))
        ticks = MaxNLocator(10, steps=[1, 2, 5, 10])
        axes.figure.colorbar(image, cax=bar, format=PercentFormatter(1, decimals=0), ticks=ticks, label="accuracy")
        axes.set(xlabel="camera angle", ylabel="camera angle")
        some = f", {len(angles)} of {every:,} angles" if every > len(angles) else ""
        axes.set_title(f"{shown(run, NAME)}: accuracy and pairs by angle{some}", parse_math=False)

    _save(path, draw, (side, side), [run, *angles])


def _most_frequent(rows: list[dict]) -> tuple[list[str], int]:
    """The angles that stand in the most pairs, in natural order, and how many there are in all."""
    pairs: Counter[str] = Counter()
    for row in rows:
        for angle in {row["first"], row["second"]}:
            pairs[angle] += row["pairs"]
    most = sorted(pairs, key=lambda angle: (-pairs[angle], natural(angle)))[:MOST_ANGLES]
    return sorted(most, key=natural), len(pairs)


def draw_curves(path: Path, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], cost: str) -> None:
    """PNG of the validation AUC of each named run over what it had cost by then: float64 [V] each, in the unit `cost`."""

    def draw(axes: Axes) -> None:
        axes.set_prop_cycle(color=CURVES, marker=list("osD^vP*"))
        for name, (spent, areas) in curves.items():
            label = f"{shown(name, NAME)}: {areas.max():.3f}"
            axes.plot(spent, areas, linewidth=2, markersize=5, label=label.lstrip("_"))  # a leading _ would hide it
        axes.set(xlabel=cost, ylabel="area under the validation ROC", xlim=(0, None))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(color="#dddddd")
        legend = axes.legend(title="run: its best", loc="lower right", labelcolor="black", fontsize=9)
        for text in legend.get_texts():
            text.set_parse_math(False)

    _save(path, draw, (6.6, 4.6), curves)


def draw_course(path: Path, run: str, course: Mapping[str, np.ndarray], switch: int) -> None:
    """PNG of a training for 8 bits: named curves over the epochs, float64 [E] each, NaN where nothing was measured. Those whose
    name begins with accuracy have the axis on the right. switch: epochs in float, behind which a line stands."""

    def draw(axes: Axes) -> None:
        right = axes.twinx()
        for (name, values), color, marker in zip(course.items(), CURVES, "osD^", strict=False):
            side, epochs = right if name.startswith("accuracy") else axes, np.arange(1, len(values) + 1)
            known = np.isfinite(values)
            side.plot(epochs[known], values[known], color=color, marker=marker, markersize=5, linewidth=2, label=name)
        axes.axvline(switch + 0.5, color=GREY, linestyle=":", label="float | rounded to 8 bits")
        axes.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="#dddddd")
        right.set(ylabel="accuracy", ylim=(0, 1.02))
        right.yaxis.set_major_formatter(PercentFormatter(1))
        lines = [*axes.get_lines(), *right.get_lines()]
        axes.legend(handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
        axes.set_title(f"{shown(run, NAME)}: in float, then for 8 bits", parse_math=False)

    _save(path, draw, (6.6, 4.6), [run])


def draw_cmc(path: Path, run: str, curves: Mapping[str, np.ndarray]) -> None:
    """PNG of the identification rate over the rank, 1, 2, ..., of each named curve: float64 [ranks], in [0, 1]."""
    lowest = min(float(rates.min()) for rates in curves.values())
    most = max(map(len, curves.values()))

    def draw(axes: Axes) -> None:
        for (name, rates), color, marker in zip(curves.items(), CURVES, "os"):
            label = f"{name}: {rates[0]:.2%} at rank 1"
            axes.plot(np.arange(1, len(rates) + 1), rates, marker=marker, markersize=5, linewidth=2, color=color, label=label)
        axes.set(
            xscale="log" if most > 20 else "linear", xlabel="rank", ylabel="identification rate", ylim=(0.95 * lowest, 1.005)
        )
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        if most <= 20:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="#dddddd")
        axes.legend(loc="lower right")
        axes.set_title(f"{shown(run, NAME)}: identification", parse_math=False)

    _save(path, draw, (6.6, 4.6), [run])


def _count(pairs: int) -> str:
    """A number of pairs in the few characters that a cell holds: 950, 12,345, 654k."""
    return f"{pairs:,}" if pairs < 100_000 else f"{pairs / 1e3:,.0f}k"


def _save(path: Path, draw: Callable[[Axes], None], inches: tuple[float, float], names: Iterable[str]) -> None:
    """Write as PNG what `draw` draws on axes of the given width and height; the picture grows to hold their labels.

    names: those `shown` in it, which choose the fonts.

    Neither the machine's own style nor the drawing program's version stands in the bytes.
    """
    with matplotlib.style.context(["default", {"font.family": families(names)}]):
        figure = Figure(figsize=inches, dpi=DOTS_PER_INCH)
        draw(figure.add_axes((0, 0, 1, 1)))
        figure.savefig(path, format="png", bbox_inches="tight", metadata={"Software": None})
