"""Accuracy against size and against time, drawn as PNG and, inside the page, as SVG."""

import io
import math
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from benchmarks.leaderboard.table import Entry

Cost = Callable[[Entry], float | None]
COSTS: dict[str, tuple[str, Cost]] = {
    "parameters": ("million parameters", lambda entry: None if entry.parameters is None else entry.parameters / 1e6),
    "milliseconds": ("milliseconds an image", lambda entry: entry.ms),
}
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = "osD^vP*X<>hp"
SIDES = [
    *[((6, 0), "left", "center"), ((-6, 0), "right", "center"), ((0, 6), "center", "bottom"), ((0, -6), "center", "top")],
    *[((4, -4), "left", "top"), ((-4, 4), "right", "bottom"), ((4, 4), "left", "bottom"), ((-4, -4), "right", "top")],
]
"""Where a name may stand beside its point: offset in points, alignment."""
MARKER = 5  # pixels from the middle of a marker to its rim
WIDEST = 22  # characters of a line of the legend


def scatter(table: list[Entry], cost: str) -> Figure | None:
    """Accuracy of every entry, with its spread over the seeds, over `cost`, one of COSTS; None if none has both. The best
    entries of the networks are named where there is room."""
    label, cost_of = COSTS[cost]
    points = [(value, entry) for entry in table if entry.accuracy is not None and (value := cost_of(entry)) is not None]
    if not points:
        return None
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(8.2, 5.0), dpi=120)
        axes = figure.add_axes((0.09, 0.12, 0.62, 0.84))
        methods = list(dict.fromkeys(entry.method for _, entry in points))
        for number, method in enumerate(methods):
            chosen = [(value, entry) for value, entry in points if entry.method == method]
            axes.errorbar(
                [value for value, _ in chosen],
                [100 * (entry.accuracy or 0.0) for _, entry in chosen],
                [100 * (entry.accuracy_sd or 0.0) for _, entry in chosen],
                fmt=MARKERS[number % len(MARKERS)],
                color=COLOURS[number % len(COLOURS)],
                elinewidth=1,
                markersize=6,
                label=textwrap.fill(method, WIDEST),
            )
        axes.set(xscale="log", xlabel=label, ylabel="accuracy %")
        values = [value for value, _ in points]
        narrow = max(values) < 5 * min(values)  # so that 1, 2 and 5 might all lie outside
        axes.xaxis.set_major_locator(MaxNLocator(6) if narrow else LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.14, y=0.08)
        axes.grid(color="#dddddd")
        axes.set_axisbelow(True)
        legend = axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, fontsize=9, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
        _name_networks(figure, axes, points)
    return figure


def _name_networks(figure: Figure, axes: Axes, points: list[tuple[float, Entry]]) -> None:
    """Each network's name beside its best entry, where there is room for it; first those that no other beats in both
    accuracy and cost."""
    best: dict[str, tuple[float, float]] = {}
    for value, entry in points:  # the best come first
        best.setdefault(entry.network, (value, 100 * (entry.accuracy or 0.0)))
    front, least = [], math.inf
    for name, (value, _) in best.items():
        if value < least:
            front.append(name)
            least = value
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes.autoscale_view()
    taken = [Bbox.from_extents(*(place - MARKER), *(place + MARKER)) for place in axes.transData.transform(list(best.values()))]
    inside = axes.get_window_extent(renderer)
    for name in dict.fromkeys([*front, *best]):
        for offset, horizontal, vertical in SIDES:
            look: dict[str, Any] = {"ha": horizontal, "va": vertical, "fontsize": 8, "parse_math": False}
            text = axes.annotate(name, best[name], xytext=offset, textcoords="offset points", **look)
            box = text.get_window_extent(renderer)
            if inside.x0 < box.x0 and box.x1 < inside.x1 and not box.count_overlaps(taken):
                taken.append(box)
                break
            text.remove()


def save_png(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", metadata={"Software": None})


def as_svg(figure: Figure) -> str:
    """The picture as an SVG element, to stand in a page."""
    text = io.StringIO()
    salt = figure.axes[0].get_xlabel()  # other pictures in the page have other ids
    with matplotlib.style.context(["default", {"svg.hashsalt": salt, "svg.fonttype": "none"}]):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    content = text.getvalue()
    named = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", content[content.index("<svg") :])  # such as axes_1, which others have, too
    return re.sub(r"<metadata>.*?</metadata>", "", named, flags=re.DOTALL)
