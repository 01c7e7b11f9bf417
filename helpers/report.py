"""The report: one HTML file that says all of an environment's backups, and needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich import filesize

from . import __version__, calendars, charts, protection, status
from .calendars import Kind, Taken
from .charts import Chart
from .entry import printable
from .errors import ConfigError
from .files import storage_errors
from .index import Glance
from .manifest import Model
from .protection import Drilled, State
from .settings import Settings
from .store import Store

_ROWS: Final = 300
"""Backups that the table names: all that stay, as far as they are so many, then those that go."""

_DRILLS: Final = 20


class Point(Model):
    """A backup in the report; counts are None where its manifest is not sound."""

    name: str
    time: datetime
    state: str
    kind: Kind
    depth: int
    rows: int | None
    bytes: int | None
    seconds: float | None


class Decided(Model):
    """What retention does with a backup, and why."""

    name: str
    keep: bool
    reasons: tuple[str, ...]


class Dossier(Model):
    """What a report says of an environment on one host, newest first; `daily` is KEEP_DAILY."""

    state: State
    daily: int = 0
    points: tuple[Point, ...] = ()
    decisions: tuple[Decided, ...] = ()
    drills: tuple[Drilled, ...] = ()


def gather(settings: Settings, store: Store) -> Dossier:
    """What there is to report of an environment here; raises StorageError."""
    look = status.look(settings, store)
    state = look.state
    own = [backup for backup in look.found if backup.database == state.database]
    plan = protection.plan_of(own, look.plans)
    return Dossier(
        state=state,
        daily=settings.keep.daily,
        points=tuple(map(_point, own)),
        decisions=tuple(
            Decided(name=one.name, keep=one.keep, reasons=one.reasons)
            for one in (plan.decisions if plan else ())
        ),
        drills=tuple(protection.drilled(*one) for one in protection.drills(own)[:_DRILLS]),
    )


def _point(backup: Glance) -> Point:
    kind: Kind = "good" if backup.trusted else "suspect" if backup.verified else "bad"
    return Point(
        name=backup.text,
        time=backup.time,
        state=backup.state,
        kind=kind,
        depth=backup.depth,
        rows=backup.rows,
        bytes=backup.file_bytes,
        seconds=backup.seconds,
    )


def html(environment: str, dossiers: Sequence[Dossier]) -> str:
    """The whole file."""
    sections = [_section(dossier, number) for number, dossier in enumerate(dossiers, start=1)]
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            environment=environment,
            sections=sections,
            now=datetime.now(UTC),
            version=__version__,
            words=calendars.WORDS,
            geometry=charts,
            took=took,
        )
    )


def write(path: Path, text: str) -> None:
    """Put the file in its place in one step, for its owner alone; ConfigError, StorageError."""
    if path.is_dir():
        raise ConfigError(f"{path} is a directory.", "Name a file in --output.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with storage_errors(path):
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("helpers"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )


def _clean(value: Any) -> Any:
    """No control character of a name reaches the page; escaping comes on top."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _section(dossier: Dossier, number: int) -> dict[str, object]:
    """What the template shows of one environment on one host."""
    state, max_age = dossier.state, timedelta(seconds=dossier.state.max_age)
    taken = [Taken(point.time, point.kind) for point in dossier.points]
    rows = _rows(dossier)
    return {
        "id": f"s{number}",
        "state": state,
        "facts": status.facts(state),
        "age": protection.span(state.age) if state.age is not None else "",
        "max_age": protection.span(max_age),
        "marks": (*state.problems, *state.risks),
        "months": calendars.months(taken, state.time, max_age, dossier.daily),
        "charts": _charts(dossier, number),
        "rows": rows,
        "kept": sum(decision.keep for decision in dossier.decisions),
        "left_out": len(dossier.points) - len(rows),
        "drills": dossier.drills,
    }


def _charts(dossier: Dossier, number: int) -> list[Chart]:
    points = [point for point in reversed(dossier.points) if point.bytes is not None]
    drawn = (
        charts.chart(f"size{number}", "Size", [(p.time, p.bytes or 0) for p in points], size),
        charts.chart(f"rows{number}", "Rows", [(p.time, p.rows or 0) for p in points], count),
        _durations(f"time{number}", [(p.time, p.seconds or 0) for p in points]),
    )
    return [one for one in drawn if one]


def _durations(key: str, values: Sequence[tuple[datetime, float]]) -> Chart | None:
    """Seconds, or minutes or hours where there are many, so that the axis has one unit."""
    highest = max((value for _, value in values), default=0)
    unit, name = next(one for one in status.UNITS if highest >= 2 * one[0] or one[0] == 1)
    scaled = [(time, value / unit) for time, value in values]
    return charts.chart(key, "Duration", scaled, lambda value: f"{value:,.3g} {name}")


def _rows(dossier: Dossier) -> list[dict[str, object]]:
    """The backups that the table names, newest first, with what retention does."""
    points = {point.name: point for point in dossier.points}
    chosen = sorted(dossier.decisions, key=lambda one: not one.keep)[:_ROWS]
    named = {decision.name for decision in chosen}
    return [
        {
            "point": points[decision.name],
            "size": size(points[decision.name].bytes),
            "rows": count(points[decision.name].rows, exact=True),
            "took": took(points[decision.name].seconds),
            "keep": decision.keep,
            "reasons": ", ".join(decision.reasons),
        }
        for decision in dossier.decisions
        if decision.name in named and decision.name in points
    ]


def size(value: float | None) -> str:
    """Bytes for people."""
    return "?" if value is None else filesize.decimal(int(value)).replace(".0 ", " ")


def count(value: float | None, *, exact: bool = False) -> str:
    """A number for people: every digit, or as many as fit beside an axis."""
    if value is None:
        return "?"
    if exact or value < 10_000:
        return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"
    units = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
    unit, name = next(one for one in units if value >= one[0])
    return f"{value / unit:,.4g} {name}"


def took(seconds: float | None) -> str:
    """Seconds for people."""
    return "?" if seconds is None else status.duration(seconds)
