"""Reading a page as a program: its tables, links and texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

from bizspan.lens import Lens
from tests.lens.asking import Answer, ask


@dataclass(slots=True)
class Read:
    """
    What a page holds.

    Args:
        text: All of it.
        tables: By the id of their section: rows of cells, the heading's too.
        tags: Names of elements, with their attributes.
    """

    text: str = ""
    tables: dict[str, list[list[str]]] = field(default_factory=dict[str, list[list[str]]])
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list[tuple[str, dict[str, str | None]]])


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.read = Read()
        self._section = ""
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.read.tags.append((tag, dict(attrs)))
        if tag == "section":
            self._section = dict(attrs).get("id") or ""
        elif tag == "tr":
            self.read.tables.setdefault(self._section, []).append([])
        elif tag in ("td", "th"):
            self.read.tables[self._section][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        self.read.text += data
        if self._in_cell:
            self.read.tables[self._section][-1][-1] += data


def parsed(answer: Answer) -> Read:
    """A page's content."""
    parser = _Parser()
    parser.feed(answer.body.decode())
    parser.close()
    return parser.read


def shown(lens: Lens, path: str, status: int = 200) -> Read:
    """Ask for a page, and read it."""
    answer = ask(lens, path, method="GET")
    assert status == answer.status, answer.body.decode()
    return parsed(answer)
