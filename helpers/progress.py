"""Tell a person how far a run is: a live display on a terminal, nothing but notes elsewhere."""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from .entry import printable

RECENT: Final[deque[str]] = deque(maxlen=20)
"""The last lines of this process's run, shown or not: its log, for those who are told of it."""


class Progress(Protocol):
    """What a run reports while it works."""

    def begin(self, phase: str, tables: int, size: int) -> None:
        """A phase over so many tables and bytes begins; it ends the one before."""
        ...

    def reach(self, tables: int, size: int) -> None:
        """So many tables and bytes of the phase are done."""
        ...

    def note(self, text: str) -> None:
        """Something a reader of the log should know."""
        ...


class Quiet:
    """Notes only, as lines with a time, plain or JSON; not even those if `silent`."""

    def __init__(self, *, silent: bool, as_json: bool = False) -> None:
        self._silent = silent
        self._as_json = as_json

    def begin(self, phase: str, tables: int, size: int) -> None:
        """A line for the phase."""
        self.note(f"{phase}: {tables:,} tables, {size / 1e6:,.1f} MB" if tables else phase)

    def reach(self, tables: int, size: int) -> None:
        """Nothing: a log is no place for a bar."""

    def note(self, text: str) -> None:
        """One line on stderr."""
        time = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        RECENT.append(f"{time} {printable(text)}")
        if not self._silent:
            line = json.dumps({"time": time, "note": text}) if self._as_json else RECENT[-1]
            print(line, file=sys.stderr, flush=True)


class Live:
    """Bars with tables, bytes, rate and time left."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._tables = 0

    def begin(self, phase: str, tables: int, size: int) -> None:
        """A new bar; the one before is full."""
        self._finish()
        RECENT.append(f"{phase}: {tables:,} tables" if tables else phase)
        self._tables = tables
        self._task = self._bars.add_task(phase, total=size or None, tables=f"0/{tables}")

    def reach(self, tables: int, size: int) -> None:
        """Move the bar."""
        if self._task is not None:
            shown = f"{tables}/{self._tables}"
            self._bars.update(self._task, completed=size, tables=shown)

    def note(self, text: str) -> None:
        """A line above the bars."""
        RECENT.append(printable(text))
        self._bars.console.print(RECENT[-1], style="yellow", markup=False, highlight=False)

    def _finish(self) -> None:
        if self._task is not None:
            task = self._bars.tasks[self._task]
            shown = f"{self._tables}/{self._tables}"
            self._bars.update(self._task, completed=task.total or 0, tables=shown)


@contextmanager
def display(*, quiet: bool, as_json: bool = False) -> Iterator[Progress]:
    """The display for this run: bars on a terminal, lines elsewhere, nothing if `quiet`."""
    console = Console(stderr=True)
    if quiet or as_json or not console.is_terminal:
        yield Quiet(silent=quiet, as_json=as_json)
        return
    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(),
        TextColumn("{task.fields[tables]} tables"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield Live(bars)
