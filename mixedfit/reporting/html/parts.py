"""Style sheet, lists and tables of the page."""

from __future__ import annotations

import html
from collections.abc import Sequence

from mixedfit.core.names import plain_name
from mixedfit.core.tables import Table

__all__ = ["CSS", "list_of", "paragraphs", "scrolled", "stacked"]

CSS = """
:root { color-scheme: light; --ink: #1a1a1a; --soft: #595959; --line: #d0d0d0; --link: #00548a; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem clamp(0.8rem, 4vw, 2rem) 3rem; }
h1 { font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; margin: 0.6rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 2.4rem 0 0.6rem; padding-top: 0.6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 0.4rem; }
p, ul { max-width: 44rem; }
p { margin: 0.5rem 0; }
li { margin: 0.25rem 0; }
a { color: var(--link); }
a:focus-visible, .scroll:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 0.95em; background: #f3f3f3;
  padding: 0.1em 0.3em; border-radius: 3px; overflow-wrap: anywhere; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; max-width: none; }
nav a { display: inline-block; padding: 0.3rem 0; }
.verdict { border-left: 6px solid; padding: 0.4rem 1rem; margin: 1rem 0; }
.verdict p { margin: 0.3rem 0; }
.good { border-color: #00795a; background: #eef7f3; }
.note { border-color: #a05a00; background: #fdf5e9; }
.bad { border-color: #b3261e; background: #fdeeed; }
.scroll { overflow-x: auto; margin: 0.8rem 0; background: linear-gradient(90deg, #fff 40%, #fff0) 0 0 / 3rem 100%,
  linear-gradient(270deg, #fff 40%, #fff0) 100% 0 / 3rem 100%, linear-gradient(90deg, #0003, #0000) 0 0 / 1rem 100%,
  linear-gradient(270deg, #0003, #0000) 100% 0 / 1rem 100%, #fff;
  background-repeat: no-repeat; background-attachment: local, local, scroll, scroll; }
@media (min-width: 64rem) { .scroll { width: max-content; min-width: 100%; max-width: calc(50vw + 28rem); } }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { font-weight: 600; padding-bottom: 0.4rem; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; border-bottom: 1px solid #e4e4e4; vertical-align: baseline; }
th { font-weight: 600; }
thead th { max-width: 7.5rem; vertical-align: bottom; }
tbody th { font-weight: 400; text-align: left; overflow-wrap: break-word; min-width: 6rem; max-width: 20rem; }
td { white-space: nowrap; text-align: right; }
caption { text-align: left; }
@media (max-width: 36rem) {
  tbody th { overflow-wrap: anywhere; }
  .stacked, .stacked tbody, .stacked caption { display: block; }
  .stacked thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  .stacked tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 0.1rem 0.8rem;
    padding: 0.4rem 0; border-bottom: 1px solid #e4e4e4; }
  .stacked tbody th, .stacked td { display: block; border: 0; padding: 0; text-align: left; white-space: normal; }
  .stacked tbody th { grid-column: 1 / -1; font-weight: 600; max-width: none; }
  .stacked td:empty { display: none; }
  .stacked td::before { content: attr(data-head); display: block; color: var(--soft); font-size: 0.8rem;
    white-space: normal; }
}
math { font-size: 1.1em; margin: 0.7rem 0; text-align: left; display: block math; width: max-content; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.4rem 2rem;
  margin: 1rem 0; align-items: start; }
figure { margin: 0; }
figure.wide { grid-column: 1 / -1; }
figure img { display: block; max-width: 100%; height: auto; }
.brackets { border-left: 1.5px solid; border-right: 1.5px solid; border-radius: 0.5em; padding: 0 0.3em; }
figcaption { color: var(--soft); font-size: 0.95rem; max-width: 44rem; margin-top: 0.3rem; }
@media print {
  @page { margin: 16mm 14mm; }
  nav { display: none; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  h2, h3, caption, thead { break-after: avoid; }
  tbody tr:first-child { break-before: avoid; }
  figure img { max-height: 21cm; width: auto; }
  figure, tr, .verdict { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; width: auto; max-width: none; background: none; }
  .pictures { grid-template-columns: 1fr 1fr; gap: 1rem; }
  th, td { padding-right: 0.5rem; }
  td { white-space: normal; }
  .verdict { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

NARROW = 3
"""Largest number of columns, names included, of a table that fits a phone."""


def paragraphs(sentences: Sequence[str]) -> str:
    """Return a paragraph for each sentence."""
    return "".join(f"<p>{html.escape(text)}</p>" for text in sentences)


def list_of(items: Sequence[str]) -> str:
    """Return an HTML list, or an empty string without items."""
    return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in items)}</ul>" if items else ""


def scrolled(body: str, label: str) -> str:
    """Return HTML in a region that scrolls horizontally, by keyboard too."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{html.escape(label)}">{body}</div>'


def stacked(table: Table, caption: str) -> str:
    """Return a table and its notes as HTML.

    On a phone each row of a table with more than `NARROW` columns is shown as a block, with a head before each cell.
    The ARIA roles make it a table for screen readers there too.
    """
    heads = [_head(head, at < table.left) for at, head in enumerate(table.heads)]
    rows = [_row(table, row) for row in table.rows]
    shape = ' class="stacked"' if len(table.heads) > NARROW else ""
    body = (
        f'<table role="table"{shape}><caption>{html.escape(caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{"".join(heads)}</tr></thead>'
        f'<tbody role="rowgroup">{"".join(rows)}</tbody></table>'
    )
    return scrolled(body, caption) + paragraphs(table.notes)


def _head(text: str, is_label: bool) -> str:
    if not text:
        return '<td role="cell"></td>'
    side = "left" if is_label else "right"
    return f'<th role="columnheader" scope="col" style="text-align:{side}">{html.escape(text)}</th>'


def _row(table: Table, row: Sequence[str]) -> str:
    shown = html.escape(plain_name(row[0])).replace(":", ":<wbr>")
    name = f'<th role="rowheader" scope="row">{shown}</th>'
    cells = "".join(
        f'<td role="cell" data-head="{html.escape(head)}">{html.escape(text.strip().replace("-", "−"))}</td>'
        for head, text in zip(table.heads[1:], row[1:], strict=True)
    )
    return f'<tr role="row">{name}{cells}</tr>'
