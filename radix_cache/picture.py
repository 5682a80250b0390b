"""The tree as an SVG picture, for notebooks and web pages.

A row a node, indented below its parent, as in the text form (`view.draw`). The bar behind the
first tokens grows with the logarithm of the node's length, its colour says what keeps the node, and
a browser shows the details of the node under the pointer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import log2

from .namespace import Namespace
from .view import Decode, NodeInfo, label, span, state

ROW, INDENT, MARGIN = 22, 20, 10  # all lengths are pixels
CHARACTER = 7  # the width of one, in the font below
LABEL_CHARACTERS = 60  # a longer label is cut

PINNED, LEASED, MATCHED, CACHED = "#f2c14e", "#8ecae6", "#a7d7a0", "#dddddd"
LEGEND = {"pinned": PINNED, "leased": LEASED, "matched": MATCHED, "cached": CACHED}


def to_svg(nodes: Sequence[NodeInfo], *, decode: Decode | None = None, max_nodes: int = 200) -> str:
    """Return a picture of the first `max_nodes` of `nodes`, as `RadixCache.list_nodes` lists them.

    The string is whole: an `<svg>` element without scripts, styles or links from elsewhere. In a
    notebook, `IPython.display.SVG(to_svg(cache.list_nodes()))` shows it.

    Args:
        nodes: parents first.
        decode: turns ids into text; without it ids are shown.
        max_nodes: more are counted in the last line only.
    """
    rows = _rows(nodes[:max_nodes])
    lines = [_legend()]
    ends: list[int] = []  # the rows of the nodes above, by depth
    for row, entry in enumerate(rows, start=1):
        if isinstance(entry, Namespace):
            lines.append(_text(MARGIN, row, f"namespace {entry.label}", "bold"))
            ends = [row]
            continue
        ends[entry.depth + 1 :] = [row]
        lines += _branch(entry, row, ends[entry.depth])
        lines += _node(entry, row, decode)
    height = len(rows) + 1
    if len(nodes) > max_nodes:
        lines.append(_text(MARGIN, height, f"and {len(nodes) - max_nodes} more nodes", "italic"))
        height += 1
    deepest = max((node.depth for node in nodes[:max_nodes]), default=0)
    width = 2 * MARGIN + INDENT * (deepest + 1) + CHARACTER * (LABEL_CHARACTERS + 40)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
            f'height="{height * ROW + MARGIN}" font-family="monospace" font-size="12">',
            '<rect width="100%" height="100%" fill="white"/>',
            *lines,
            "</svg>",
        ]
    )


def _rows(nodes: Sequence[NodeInfo]) -> list[Namespace | NodeInfo]:
    """Return the nodes, each namespace before its first."""
    rows: list[Namespace | NodeInfo] = []
    namespace = None
    for node in nodes:
        if node.namespace != namespace:
            namespace = node.namespace
            rows.append(namespace)
        rows.append(node)
    return rows


def _legend() -> str:
    parts: list[str] = []
    for place, (name, color) in enumerate(LEGEND.items()):
        x = MARGIN + place * 90
        parts.append(f'<rect x="{x}" y="5" width="12" height="12" fill="{color}"/>')
        parts.append(_text(x + 18, 0, name))
    return "\n".join(parts)


def _branch(node: NodeInfo, row: int, above: int) -> Iterator[str]:
    """Draw the line from the row of the parent to a node's own."""
    x = MARGIN + INDENT * node.depth + INDENT // 2
    top, middle = (above + 1) * ROW - 3, row * ROW + ROW // 2
    yield f'<path d="M{x} {top}V{middle}H{x + INDENT // 2}" fill="none" stroke="#999999"/>'


def _node(node: NodeInfo, row: int, decode: Decode | None) -> Iterator[str]:
    x = MARGIN + INDENT * (node.depth + 1)
    words = label(node, decode)
    if len(words) > LABEL_CHARACTERS:
        words = words[: LABEL_CHARACTERS - 3] + "..."
    width = 20 + 24 * log2(node.num_tokens)
    title = f"{span(node)}: {state(node)}"
    yield f"<g><title>{_escape(title)}</title>"
    yield (
        f'<rect x="{x}" y="{row * ROW + 2}" width="{width:.0f}" height="{ROW - 4}" rx="4" '
        f'fill="{_color(node)}"/>'
    )
    yield _text(x + 6, row, f"{span(node)} {words}" + "".join(f" ⚑{pin}" for pin in node.pins))
    yield "</g>"


def _color(node: NodeInfo) -> str:
    if node.pins:
        return PINNED
    if node.locks:
        return LEASED
    return MATCHED if node.hits else CACHED


def _text(x: int, row: int, words: str, style: str = "") -> str:
    kind = {"bold": ' font-weight="bold"', "italic": ' font-style="italic"'}.get(style, "")
    return f'<text x="{x}" y="{row * ROW + 15}"{kind}>{_escape(words)}</text>'


def _escape(words: str) -> str:
    """Escape for XML, which has no place at all for most control characters."""
    return escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words))
