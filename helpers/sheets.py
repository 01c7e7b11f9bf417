"""A table for people: drawn by rich, or, where it is long, as plain lines at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

LONG = 300
"""Rows from which a table is plain lines: rich takes a millisecond and more for each."""


@dataclass(frozen=True)
class Sheet:
    """A title, headers, and rows of as many cells, all of them printable; `right` are numbers."""

    title: str
    headers: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    right: frozenset[str] = frozenset()

    @property
    def long(self) -> bool:
        """Whether it is better printed as plain lines."""
        return len(self.rows) > LONG

    def table(self) -> Table:
        """For a console: folded to its width; the first column is never cut."""
        table = Table(
            title=Text(self.title), title_justify="left", title_style="bold", box=box.SIMPLE
        )
        for header in self.headers:
            justify: Literal["right", "left"] = "right" if header in self.right else "left"
            table.add_column(header, justify=justify, overflow="fold")
        table.columns[0].no_wrap = True
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table

    def lines(self) -> Iterator[str]:
        """One line a row, each column as wide as its widest cell."""
        yield self.title
        columns = zip(self.headers, *self.rows, strict=True)
        widths = [max(map(cell_len, column)) for column in columns]
        for row in (self.headers, *self.rows):
            yield "  " + "   ".join(map(self._padded, self.headers, row, widths)).rstrip()

    def _padded(self, header: str, cell: str, width: int) -> str:
        blank = " " * (width - cell_len(cell))
        return blank + cell if header in self.right else cell + blank
