"""
A catalogue as Markdown, and as one HTML file without scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from bizspan.kpi._catalogue import Entry, Reference, Section
from bizspan.kpi._yaml import encodable

_TITLE: Final = "Business telemetry: the catalogue"
_NOBODY: Final = "nobody is declared"
_NONE: Final = "None is declared."


def anchor(section: str, name: str) -> str:
    """
    The place of an entry in a page: letters and digits, and what else there is by its number.
    """
    return f"{section}-" + re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):x}_", encodable(name))


def _places(sections: Iterable[Section]) -> frozenset[tuple[str, str]]:
    return frozenset((section.key, entry.name) for section in sections for entry in section.entries)


# --- Markdown ---------------------------------------------------------------------------------------------------------


def as_markdown(sections: Sequence[Section], title: str = _TITLE) -> str:
    """
    One page, in CommonMark with tables.

    Args:
        sections: What is in it.
        title: Its heading.
    """
    places = _places(sections)
    lines = [f"# {_md(title)}", ""]
    lines += [f"- [{_md(section.title)}](#{section.key}): {len(section.entries)}" for section in sections]
    for section in sections:
        lines += ["", f'<a id="{section.key}"></a>', "", f"## {_md(section.title)}", "", _md(section.about)]
        if not section.entries:
            lines += ["", _NONE]
        for entry in section.entries:
            lines += ["", *_md_entry(section, entry, places)]
    return "\n".join(lines) + "\n"


def _md_entry(section: Section, entry: Entry, places: frozenset[tuple[str, str]]) -> Iterator[str]:
    yield f'<a id="{anchor(section.key, entry.name)}"></a>'
    yield ""
    yield f"### {_md(entry.name)}"
    yield ""
    if entry.meaning:
        yield _md(entry.meaning)
        yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| owner | {_md(entry.owner or _NOBODY)} |"
    for label, values in entry.rows:
        yield f"| {_md(label)} | {', '.join(_md_value(each, places) for each in values)} |"
    if entry.link:
        yield f"| playbook | <{entry.link}> |"
    for label, text in entry.code:
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
        yield from ("", f"{_md(label)}:", "", f"{fence}text", *encodable(text).splitlines(), fence)


def _md_value(value: str | Reference, places: frozenset[tuple[str, str]]) -> str:
    if isinstance(value, str):
        return _md(value)
    if (value.section, value.name) not in places:
        return _md(value.name)
    return f"[{_md(value.name)}](#{anchor(value.section, value.name)})"


def _md(text: str) -> str:
    """A text in which nothing is markup, on one line."""
    plain = " ".join(encodable(text).split())
    printable = "".join(letter if letter.isprintable() else "\ufffd" for letter in plain)
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&$-])", r"\\\1", printable)


# --- HTML -------------------------------------------------------------------------------------------------------------

_STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d0d7de;--paper:#fff;--raised:#f6f8fa;--link:#0550ae}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--line:#3a424c;--paper:#0d1117;--raised:#161b22;
--link:#79c0ff}}
*{box-sizing:border-box}
body{margin:0;font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
main,header{max-width:60rem;margin:0 auto;padding:0 1rem}
h1{font-size:1.6rem;margin:1.5rem 0 .5rem}
h2{font-size:1.3rem;margin:2.5rem 0 .25rem;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:0;overflow-wrap:anywhere}
p{margin:.25rem 0;color:var(--soft)}
a{color:var(--link)}
a:focus-visible,summary:focus-visible{outline:3px solid var(--link);outline-offset:2px}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;padding:0;margin:.5rem 0}
article{border:1px solid var(--line);border-radius:.5rem;background:var(--raised);padding:.75rem 1rem;margin:.75rem 0}
article:target{border-color:var(--link)}
dl{display:grid;grid-template-columns:minmax(7rem,auto) 1fr;gap:.15rem 1rem;margin:.5rem 0 0}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
pre{overflow-x:auto;padding:.75rem;background:var(--paper);border:1px solid var(--line);border-radius:.25rem}
details{margin-top:.5rem}
@media(max-width:36rem){dl{grid-template-columns:1fr}dd{margin-bottom:.35rem}}
@media print{details>*{display:block}article{break-inside:avoid}}
""".strip()


def as_html(sections: Sequence[Section], title: str = _TITLE) -> str:
    """
    One self-contained file: no script, nothing loaded from elsewhere.

    Args:
        sections: What is in it.
        title: Its heading.
    """
    places = _places(sections)
    body = "\n".join(line for section in sections for line in _html_section(section, places))
    contents = "\n".join(
        f'<li><a href="#{section.key}">{_html(section.title)}</a> {len(section.entries)}</li>' for section in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>{_html(title)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<header>
<h1>{_html(title)}</h1>
<nav aria-label="Sections"><ul>
{contents}
</ul></nav>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def _html_section(section: Section, places: frozenset[tuple[str, str]]) -> Iterator[str]:
    yield f'<section aria-labelledby="{section.key}">'
    yield f'<h2 id="{section.key}">{_html(section.title)}</h2>'
    yield f"<p>{_html(section.about)}</p>"
    if not section.entries:
        yield f"<p>{_NONE}</p>"
    for entry in section.entries:
        yield f'<article id="{anchor(section.key, entry.name)}">'
        yield f"<h3>{_html(entry.name)}</h3>"
        if entry.meaning:
            yield f"<p>{_html(entry.meaning)}</p>"
        yield "<dl>"
        yield f"<dt>owner</dt><dd>{_html(entry.owner or _NOBODY)}</dd>"
        for label, values in entry.rows:
            told = ", ".join(_html_value(each, places) for each in values)
            yield f"<dt>{_html(label)}</dt><dd>{told}</dd>"
        if entry.link:
            link = _html(entry.link)
            yield f'<dt>playbook</dt><dd><a href="{link}" rel="noopener noreferrer">{link}</a></dd>'
        yield "</dl>"
        for label, text in entry.code:
            told = f'<pre tabindex="0">{_html(text, lines=True)}</pre>'
            yield f"<details><summary>{_html(label)}</summary>{told}</details>"
        yield "</article>"
    yield "</section>"


def _html_value(value: str | Reference, places: frozenset[tuple[str, str]]) -> str:
    if isinstance(value, str):
        return _html(value)
    if (value.section, value.name) not in places:
        return _html(value.name)
    return f'<a href="#{anchor(value.section, value.name)}">{_html(value.name)}</a>'


def _html(text: str, lines: bool = False) -> str:
    """A text in which nothing is markup; what can't be printed is U+FFFD."""
    allowed = "\n\t" if lines else ""
    plain = encodable(text)
    return escape("".join(letter if letter.isprintable() or letter in allowed else "\ufffd" for letter in plain))
