"""The page that ``stdlib_index`` writes: one self-contained file, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.stdlib_index import Facts

_NUMBERS = ("files", "lines", "bytes", "functions", "classes")

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #e3e7ed; --page: #fbfcfd; --card: #fff;
  --bar: #2f6fde; --track: #edf1f7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #97a3b4; --line: #2a323e; --page: #12161c;
  --card: #191f28; --bar: #6ea1f5; --track: #242c38; } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 64rem; margin: 0 auto; padding: 3rem 1.25rem 5rem }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; letter-spacing: -.01em }
h2 { font-size: 1.05rem; margin: 3rem 0 .75rem }
p { color: var(--soft); margin: 0 }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem; margin: 2rem 0 0 }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem }
dt { color: var(--soft); font-size: .8rem }
dd { margin: 0; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
th { text-align: right; font-weight: 500; font-size: .8rem; color: var(--soft); padding: .4rem .75rem; white-space: nowrap }
th button { all: unset; cursor: pointer }
th button:focus-visible { outline: 2px solid var(--bar); outline-offset: 3px; border-radius: 2px }
th[aria-sort] button { color: var(--ink); font-weight: 600 }
th[aria-sort=descending] button::after { content: " ↓" }
th[aria-sort=ascending] button::after { content: " ↑" }
td { text-align: right; padding: .3rem .75rem; border-top: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
td.bar { width: 34%; min-width: 8rem; padding-right: 0 }
.bar i { display: block; height: .6rem; border-radius: .3rem; background: var(--bar); min-width: 2px }
.bar span { display: block; border-radius: .3rem; background: var(--track) }
code { font: .92em ui-monospace, monospace }
"""

_SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, table = head.closest("table"), column = head.cellIndex;
  const down = head.ariaSort !== "descending";
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.ariaSort = down ? "descending" : "ascending";
  const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const order = (a, b) => isNaN(value(a)) ? value(b).localeCompare(value(a)) : value(b) - value(a);
  const rows = [...table.tBodies[0].rows].sort((a, b) => down ? order(a, b) : order(b, a));
  table.tBodies[0].append(...rows);
};
"""


def render(results: Sequence[Facts], totals: Mapping[str, int], imports: Sequence[tuple[str, int]], title: str) -> str:
    """The whole page. ``imports``: the most imported modules, with the number of statements."""
    cards = "".join(_card(name, total) for name, total in [("packages", len(results)), *totals.items()])
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>The standard library of {escape(title)}</title>
<style>{_STYLE}</style>
<main>
<h1>The standard library of {escape(title)}</h1>
<p>Parsed package by package, each in a process of its own.</p>
<dl>{cards}</dl>
<h2>Packages</h2>
<div class="wide">{_packages(results)}</div>
<h2>Most imported</h2>
<div class="wide">{_imports(imports)}</div>
</main>
<script>{_SCRIPT}</script>
</html>
"""


def _card(name: str, total: int) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{_number(name, total)}</dd></div>"


def _packages(results: Sequence[Facts]) -> str:
    most = max((each.lines for each in results), default=1)
    rows = sorted(results, key=lambda each: (-each.lines, each.package))
    heads = "".join(_head(name, sorted_down=name == "lines") for name in ("package", *_NUMBERS))
    body = "".join(_package(each, most) for each in rows)
    return f"<table><thead><tr>{heads}<th></th></tr></thead><tbody>{body}</tbody></table>"


def _head(name: str, sorted_down: bool) -> str:
    return f'<th scope="col"{" aria-sort=descending" if sorted_down else ""}><button>{name}</button></th>'


def _package(facts: Facts, most: int) -> str:
    numbers = ((name, getattr(facts, name)) for name in _NUMBERS)
    cells = "".join(f'<td data-value="{value}">{_number(name, value)}</td>' for name, value in numbers)
    return f"<tr><td><code>{escape(facts.package)}</code></td>{cells}{_bar(facts.lines / max(1, most))}</tr>"


def _imports(imports: Sequence[tuple[str, int]]) -> str:
    most = max((count for _, count in imports), default=1)
    rows = (f"<tr><td><code>{escape(name)}</code></td><td>{count:,}</td>{_bar(count / most)}</tr>" for name, count in imports)
    return f"<table><thead><tr><th>module</th><th>statements</th><th></th></tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _bar(part: float) -> str:
    return f'<td class="bar"><span><i style="width:{100 * part:.2f}%"></i></span></td>'


def _number(name: str, value: int) -> str:
    if name == "bytes":
        return f"{value / 1e6:,.1f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} KB"
    return f"{value:,}"
