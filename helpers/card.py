"""Small tables that show in a notebook and read as plain text elsewhere."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

_BORDER = "1px solid var(--jp-border-color2, #8888)"


@dataclass(frozen=True)
class Card:
    """A titled table.

    Attributes
    ----------
    title : str
        The line above it.
    rows : sequence of sequences of str
        The cells; the first of each row is its heading.
    header : sequence of str
        The columns' headings, if there are any.
    footer : str
        The line below it.
    """

    title: str
    rows: Sequence[Sequence[str]]
    header: Sequence[str] = ()
    footer: str = ""
    numbers: bool = field(default=False, kw_only=True)

    def __str__(self) -> str:
        """Return the table as text, its columns aligned."""
        table = [list(row) for row in ([self.header] if self.header else []) + list(self.rows)]
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))] if table else []
        lines = [self.title]
        for row in table:
            cells = [
                cell.rjust(width) if self.numbers and column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join([*lines, *([self.footer] if self.footer else [])])

    def _repr_html_(self) -> str:
        align = "right" if self.numbers else "left"

        def cells(row: Sequence[str]) -> str:
            first, *rest = (_escaped(cell) for cell in row)
            return f'<th style="text-align:left">{first}</th>' + "".join(
                f'<td style="text-align:{align}">{cell}</td>' for cell in rest
            )

        header = "".join(f'<th style="text-align:{align}">{_escaped(cell)}</th>' for cell in self.header)
        head = f"<thead><tr>{header}</tr></thead>" if header else ""
        body = "".join(f"<tr>{cells(row)}</tr>" for row in self.rows)
        foot = f"<p><strong>{_escaped(self.footer)}</strong></p>" if self.footer else ""
        return (
            f"<p><strong>{_escaped(self.title)}</strong></p>"
            f'<table style="border:{_BORDER}; margin:0">{head}<tbody>{body}</tbody></table>{foot}'
        )

    def __repr__(self) -> str:
        return str(self)


def _escaped(text: str) -> str:
    """Return text as HTML. A page sets what stands between two bare dollar signs as a formula."""
    return html.escape(text).replace("$", "<span>$</span>")
