"""HTML from plain values: elements whose texts are escaped, and the page around them."""

import base64
import struct
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Nothing is loaded from anywhere, and nothing runs."""
WIDTH_OFFSET = 16
"""Of the width of a picture in a PNG file."""
SMALL = 900
"""Pixels up to which a picture may shrink to a phone's width; a wider one scrolls there."""
NOT_TEXT = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127, *range(0xD800, 0xE000)], "\ufffd")
"""Characters that no document may hold."""

CSS = """
:root { color-scheme: light; --ink: #1c2126; --soft: #5b6670; --line: #d8dde2; --band: #f3f5f7; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 68rem; padding: 1.2rem 1rem 4rem; color: var(--ink);
  background: #fff; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .4rem 0 .2rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .5rem; padding-top: .5rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; overflow-wrap: anywhere; }
h4 { font-size: .95rem; margin: 1.2rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .4rem 0 .8rem; max-width: 46rem; overflow-wrap: anywhere; }
nav ul { margin: .8rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem .9rem;
  list-style: none; }
a { color: #0b5cad; }
.soft { color: var(--soft); font-size: .875rem; }
.problem { border-left: 4px solid #c77700; background: #fff6e5; padding: .5rem .8rem; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.35; }
th, td { padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td.n .soft { display: block; font-size: .78rem; }
th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--ink); }
tbody.group th.title { padding-top: 1.3rem; border-bottom: 0; font-size: 1rem; }
th.title span { position: sticky; left: 0; display: inline-block; overflow-wrap: anywhere;
  max-width: min(60rem, 100vw - 2rem); }
.fixed td:first-child, .fixed tr.heads th:first-child { position: sticky; left: 0; }
.fixed td:first-child { background: #fff; }
tr.heads th { background: var(--band); color: var(--soft); font-size: .8rem; }
tr.heads th:first-child, tr.bound td:first-child, tr.model td:first-child,
tr.published td:first-child { padding-left: .5rem; }
tr.bound td { color: var(--soft); font-style: italic; }
.fixed tr.published td { background: #eef5fb; }
tr.best td:first-child { font-weight: 600; }
td.name .soft { font-weight: 400; }
.fixed td:first-child:not(.name) { white-space: nowrap; }
td.name { min-width: 12rem; overflow-wrap: anywhere; }
td.query { min-width: 15rem; max-width: 24rem; }
td.hit { min-width: 13rem; max-width: 18rem; font-size: .84rem; }
.right { background: #e3f4e6; }
figure { margin: .8rem 0 1.4rem; }
figure .scroll { margin-bottom: .3rem; }
figure img { display: block; width: 100%; max-width: 62rem; min-width: 34rem; height: auto; }
figure img.small { min-width: 0; max-width: 44rem; }
figcaption { color: var(--soft); font-size: .875rem; max-width: 46rem; overflow-wrap: anywhere; }
@media (max-width: 30rem) {
  body { padding: .8rem .8rem 3rem; }
  h1 { font-size: 1.35rem; }
  td.name { min-width: 9.5rem; max-width: 9.5rem; }
  td.n .soft { font-size: .72rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  a { color: inherit; text-decoration: none; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; width: 100%; }
  th, td { padding-right: .4rem; }
  td.n .soft { font-size: 6.5pt; }
  td.name .soft { font-size: inherit; }
  td.name { min-width: 8rem; max-width: none; }
  .fixed td:first-child:not(.name), .all td.n, .all th.n { white-space: normal; }
  td.query, td.hit { min-width: 0; font-size: inherit; }
  figure img { min-width: 0; max-width: 100%; max-height: 24cm; object-fit: contain;
    object-position: left; }
  figure, tr { break-inside: avoid; }
  h2, h3, h4 { break-after: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


class Html(str):
    """Text that is HTML already; every other string is escaped."""


def text(value: object) -> Html:
    """Anything as HTML; `Html` stays as it is."""
    return value if isinstance(value, Html) else Html(escape(str(value).translate(NOT_TEXT)))


def tag(name: str, *content: object, **attributes: object) -> Html:
    """`tag("td", "a < b", class_="n")`; an attribute that is None is left out."""
    given = "".join(
        f' {key.rstrip("_")}="{text(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{''.join(map(text, content))}</{name}>")


def join(parts: Sequence[object], between: str = "") -> Html:
    """Several pieces as one."""
    return Html(between.join(map(text, parts)))


def breakable(name: object) -> Html:
    """A path or a name that may be broken behind its slashes and underscores."""
    return Html(str(text(name)).replace("/", "/<wbr />").replace("_", "_<wbr />"))


def paragraph(*content: object, soft: bool = False) -> Html:
    return tag("p", *content, class_="soft" if soft else None)


def problem(line: object) -> Html:
    """What could not be shown, and why."""
    return tag("p", line, class_="problem")


def table(
    heads: Sequence[object],
    rows: Sequence[Sequence[object]],
    numbers: int = 0,
    fixed: bool = False,
) -> Html:
    """A table that scrolls on a narrow screen.

    Args:
        heads: of the columns.
        rows: cells; one that is a finished `<td>` is taken as it is.
        numbers: so many of the last columns are numbers, set to the right.
        fixed: whether the first column stays where it is while the others scroll.
    """
    first = len(heads) - numbers
    head = [tag("th", head, class_="n" if i >= first else None) for i, head in enumerate(heads)]
    body = [
        tag("tr", *(_cell(cell, "n" if i >= first else None) for i, cell in enumerate(row)))
        for row in rows
    ]
    parts = tag("thead", tag("tr", *head)), tag("tbody", *body)
    return scrolled(tag("table", *parts, class_="fixed" if fixed else None))


def _cell(content: object, kind: str | None) -> Html:
    if isinstance(content, Html) and content.startswith("<td"):
        return content
    return tag("td", content, class_=kind)


def scrolled(content: Html) -> Html:
    """Wide content in a box of its own, so that the page does not scroll sideways."""
    return tag("div", content, class_="scroll", tabindex="0")


def picture(png: bytes, told: str, caption: object) -> Html:
    """A figure with the picture inside.

    Args:
        png: its file.
        told: what it shows, for those who do not see it.
        caption: below it.
    """
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    (width,) = struct.unpack_from(">I", png, WIDTH_OFFSET)
    kind = ' class="small"' if width <= SMALL else ""
    image = Html(f'<img{kind} src="{source}" alt="{text(told)}" />')
    return tag("figure", scrolled(image), tag("figcaption", caption))


class Section(NamedTuple):
    """A part of the page: its anchor, heading and content."""

    anchor: str
    heading: str
    content: Html


def page(title: str, lead: object, sections: Sequence[Section]) -> str:
    """The whole document, which needs no other file and no network."""
    links = [tag("li", tag("a", s.heading, href=f"#{s.anchor}")) for s in sections]
    parts = [
        tag("section", tag("h2", s.heading), s.content, id=s.anchor) for s in sections if s.content
    ]
    head = (
        '<meta charset="utf-8" />'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />'
        f'<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}" />'
        f"{tag('title', title)}<style>{CSS}</style>"
    )
    header = tag("header", tag("h1", title), lead, tag("nav", tag("ul", *links)))
    body = tag("body", header, tag("main", *parts))
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>{body}</html>\n'
