"""Accuracy against size and against time, drawn as PNG and, inside the page, as SVG."""

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.leaderboard.table import Entry

Cost = Callable[[Entry], float | None]
COSTS: dict[str, tuple[str, Cost]] = {
    "parameters": ("million parameters", lambda entry: None if entry.parameters is None else entry.parameters / 1e6),
    "milliseconds": ("milliseconds an image", lambda entry: entry.ms),
}
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = "osD^vP*X<>hp"
MOST_METHODS = len(MARKERS)


def scatter(table: list[Entry], cost: str) -> Figure | None:
    """Accuracy of every entry, with its spread over the seeds, over `cost`, one of COSTS; None if none has both. The best
    entry of each network is named."""
    label, cost_of = COSTS[cost]
    points = [(value, entry) for entry in table if entry.accuracy is not None and (value := cost_of(entry)) is not None]
    if not points:
        return None
    with matplotlib.style.context(["default", {"svg.hashsalt": "leaderboard", "svg.fonttype": "none"}]):
        figure = Figure(figsize=(8.2, 5.0), dpi=120)
        axes = figure.add_axes((0.09, 0.12, 0.62, 0.84))
        methods = list(dict.fromkeys(entry.method for _, entry in points))
        for number, method in enumerate(methods):
            chosen = [(value, entry) for value, entry in points if entry.method == method]
            axes.errorbar(
                [value for value, _ in chosen],
                [100 * (entry.accuracy or 0.0) for _, entry in chosen],
                [100 * (entry.accuracy_sd or 0.0) for _, entry in chosen],
                fmt=MARKERS[number % MOST_METHODS],
                color=COLOURS[number % len(COLOURS)],
                elinewidth=1,
                markersize=6,
                label=method,
            )
        _name_the_best(axes, points)
        axes.set(xscale="log", xlabel=label, ylabel="accuracy %")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.14, y=0.08)
        axes.grid(color="#dddddd")
        axes.set_axisbelow(True)
        legend = axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, fontsize=9, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _name_the_best(axes: Axes, points: list[tuple[float, Entry]]) -> None:
    """Each network's name beside its best entry; the table is sorted, so that is its first."""
    best: dict[str, tuple[float, Entry]] = {}
    for value, entry in points:
        best.setdefault(entry.network, (value, entry))
    for name, (value, entry) in best.items():
        axes.annotate(
            name,
            (value, 100 * (entry.accuracy or 0.0)),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            parse_math=False,
        )


def save_png(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", metadata={"Software": None})


def as_svg(figure: Figure) -> str:
    """The picture as an SVG element, to stand in a page."""
    text = io.StringIO()
    with matplotlib.style.context(["default", {"svg.hashsalt": "leaderboard", "svg.fonttype": "none"}]):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    content = text.getvalue()
    return content[content.index("<svg") :]
