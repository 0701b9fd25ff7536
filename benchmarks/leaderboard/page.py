"""The leaderboard as one page that needs nothing else: table, pictures and a little script that sorts."""

from html import escape

from benchmarks.leaderboard.table import COLUMNS, Entry, cells

STYLE = """
:root { color-scheme: light dark; --line: #d8dee4; --soft: #f6f8fa; --text: #1f2328; --muted: #59636e; --accent: #0072B2; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3d444d; --soft: #161b22; --text: #e6edf3; --muted: #9198a1; --accent: #58a6ff; }
}
body { margin: 2rem auto; max-width: 84rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: var(--text); }
h1 { font-size: 1.6rem; line-height: 1.25; } p { max-width: 48rem; } .muted { color: var(--muted); }
code { background: var(--soft); padding: .1rem .3rem; border-radius: 4px; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left; }
th { border-bottom: 2px solid var(--line); vertical-align: bottom; white-space: normal; }
th button { all: unset; cursor: pointer; } th button:hover { color: var(--accent); }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th[aria-sort=ascending] button::after { content: " \\25B2"; } th[aria-sort=descending] button::after { content: " \\25BC"; }
tbody tr:hover { background: var(--soft); }
figure { margin: 1.5rem 0; padding: .5rem; max-width: 52rem; background: #fff; border: 1px solid var(--line); }
figure svg { width: 100%; height: auto; display: block; } figcaption { color: #59636e; text-align: center; }
"""

SCRIPT = """
for (const head of document.querySelectorAll("th")) {
  head.firstElementChild.onclick = () => {
    const place = head.cellIndex, body = head.closest("table").tBodies[0], before = head.getAttribute("aria-sort");
    const order = !before ? head.dataset.first : before === "descending" ? "ascending" : "descending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const value = row => row.cells[place].dataset.value;
    const compare = (a, b) => isNaN(a) || isNaN(b) ? a.localeCompare(b, undefined, {numeric: true}) : a - b;
    const rows = [...body.rows].sort((a, b) => {
      if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
      return (order === "descending" ? -1 : 1) * compare(value(a), value(b));
    });
    body.append(...rows);
  };
}
"""
LARGEST_FIRST = ("accuracy", "auc")
"""Columns whose first click shows the largest figures first; of all others less is better, or a comes before b."""


def as_html(title: str, about: str, sentences: list[str], command: str, table: list[Entry], pictures: dict[str, str]) -> str:
    """pictures: SVG elements by caption."""
    heads = "".join(_head(column, name) for column, name in COLUMNS.items())
    rows = "\n".join(f"<tr>{_row(entry)}</tr>" for entry in table)
    figures = "\n".join(_figure(caption, svg) for caption, svg in pictures.items())
    notes = [entry for entry in table if entry.reason]
    listed = "".join(f"<li>{escape(f'{entry.network} with {entry.method}: {entry.reason}')}</li>" for entry in notes)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
<h1>{escape(title)}</h1>
{f"<p>{escape(about)}</p>" if about else ""}
<p>{escape(" ".join(sentences))}</p>
<p class="muted">Made by <code>{escape(command)}</code>. A click on a column sorts by it.</p>
<div class="wide">
<table>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
{f"<ul class=muted>{listed}</ul>" if listed else ""}
{figures}
<script>{SCRIPT}</script>
</html>
"""


def _head(column: str, name: str) -> str:
    first = "descending" if column in LARGEST_FIRST else "ascending"
    sort = ' aria-sort="descending"' if column == "accuracy" else ""  # as the table comes
    return f'<th scope="col" data-first="{first}"{sort}><button type="button">{escape(name)}</button></th>'


def _figure(caption: str, svg: str) -> str:
    labelled = svg.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)
    return f"<figure>{labelled}<figcaption>{escape(caption)}</figcaption></figure>"


def _row(entry: Entry) -> str:
    values = {name: getattr(entry, name) for name in COLUMNS}
    return "".join(
        f'<td data-value="{"" if values[name] is None else escape(str(values[name]))}">{escape(text)}</td>'
        for name, text in cells(entry).items()
    )
