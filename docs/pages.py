"""What README.md and docs/ hold: fenced blocks, commands in the running text, and links. `docs.check` lists the classes."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CLASSES = {("bash", "run"), ("bash", "slow"), ("bash", "options"), ("python", "run"), ("text", "")}
CLASSES |= {("yaml", "settings"), ("yaml", "leaderboard")}


class Block(NamedTuple):
    """A fenced block: the page, the number of its first line of code, language, class, the path it needs, its code."""

    page: Path
    line: int
    language: str
    checked: str
    needs: str
    code: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


class Faulty(Exception):
    """A block, command or link of the documentation that is wrong."""


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in order. Raises Faulty for a block without a class and for code without a fence."""
    found: list[Block] = []
    start, words, lines = 0, [""], [""]  # of the block that is open: its first line (0: none is open), its class, its code
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.fullmatch(r"```(.*)", line)
        if fence and not start:
            start, words, lines = number + 1, fence[1].split(), []
        elif fence:
            needs = "".join(word.removeprefix("needs=") for word in words if word.startswith("needs="))
            language, checked = [*[word for word in words if not word.startswith("needs=")], "", ""][:2]
            block = Block(page, start, language, checked, needs, "\n".join(lines) + "\n")
            if (language, checked) not in CLASSES:
                raise Faulty(f"{block.place}: a block of class {language!r} {checked!r}; docs/check.py lists the classes")
            found.append(block)
            start = 0
        elif start:
            lines.append(line)
        elif re.match(r"\s+(python|pip|make|torchrun)\s", line):
            raise Faulty(f"{page.relative_to(ROOT)}:{number}: a command that stands in no fenced block")
    if start:
        raise Faulty(f"{page.relative_to(ROOT)}: a fenced block is not closed")
    return found


def prose(page: Path) -> str:
    """The text of a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def inline_commands(page: Path) -> list[str]:
    """Code in the running text that is a command or an option with a section, such as `--data.workers=2`."""
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    return [
        span for span in spans if span.startswith(("python ", "make ", "torchrun ")) or re.match(r"--[a-z_]+\.[a-z_.]+", span)
    ]


def check_links(page: Path) -> None:
    """Raise Faulty for a link or a picture that leads to no file and to no heading of this repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, heading = target.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        file = page.parent / path if path else page
        if not file.exists():
            raise Faulty(f"{page.relative_to(ROOT)} links to {target}, which does not exist")
        if heading and heading not in headings(file):
            raise Faulty(f"{page.relative_to(ROOT)} links to {target}, and no heading there is called so")


def headings(page: Path) -> set[str]:
    """The names by which a page's headings can be linked to."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
