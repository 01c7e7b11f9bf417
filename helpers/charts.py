"""Values over time as the lines and labels of a small chart; a template draws them (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 14, 172
"""The drawing's size, and the edges of the plot within it; one unit is about a pixel."""

_BUCKETS: Final = 150
"""Stretches of time of which the lowest and highest value are drawn, where there are more."""

_DOTTED: Final = 45
"""Values up to which each has a dot."""


@dataclass(frozen=True)
class Mark:
    """A place on an axis, or a dot, with its label."""

    at: float
    label: str
    y: float = 0
    anchor: str = "middle"


@dataclass(frozen=True)
class Chart:
    """What a chart draws; `summary` says it in words."""

    key: str
    title: str
    summary: str
    line: str
    area: str
    dots: tuple[Mark, ...]
    ups: tuple[Mark, ...]
    alongs: tuple[Mark, ...]


def chart(
    key: str, title: str, values: Sequence[tuple[datetime, float]], written: Callable[[float], str]
) -> Chart | None:
    """A chart of values in the order of their times; None of fewer than two."""
    if len(values) < 2:
        return None
    first, last = values[0][0], values[-1][0]
    low, high = min(value for _, value in values), max(value for _, value in values)
    step = _nice(max(high, 1) / 3)
    top = step * max(math.ceil(high / step), 1)
    span = (last - first) or timedelta(seconds=1)

    def place(time: datetime, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * ((time - first) / span)
        return round(x, 1), round(BOTTOM - (BOTTOM - TOP) * value / top, 1)

    drawn = [(place(*one), one) for one in _thinned(values)]
    line = "M" + " L".join(f"{x} {y}" for (x, y), _ in drawn)
    (left, _), (right, _) = drawn[0][0], drawn[-1][0]
    dots = [Mark(x, f"{t:%Y-%m-%d %H:%M}: {written(v)}", y) for (x, y), (t, v) in drawn]
    ticks = [step * number for number in range(round(top / step) + 1)]
    return Chart(
        key=key,
        title=title,
        summary=(
            f"{len(values):,} backups from {first:%Y-%m-%d} to {last:%Y-%m-%d}. First "
            f"{written(values[0][1])}, last {written(values[-1][1])}, "
            f"lowest {written(low)}, highest {written(high)}."
        ),
        line=line,
        area=f"{line} L{right} {BOTTOM} L{left} {BOTTOM} Z",
        dots=tuple(dots) if len(dots) <= _DOTTED else (dots[-1],),
        ups=tuple(Mark(place(first, tick)[1], written(tick)) for tick in ticks),
        alongs=tuple(_dates(first, last)),
    )


def _dates(first: datetime, last: datetime) -> Iterator[Mark]:
    """The first, the middle and the last time; hours where a day is all there is."""
    form = "%d %b" if last - first >= timedelta(days=2) else "%d %b %H:%M"
    middle = first + (last - first) / 2
    yield Mark(LEFT, f"{first:{form}}", anchor="start")
    if len({f"{time:{form}}" for time in (first, middle, last)}) == 3 and "H" not in form:
        yield Mark((LEFT + WIDTH - RIGHT) / 2, f"{middle:{form}}")
    yield Mark(WIDTH - RIGHT, f"{last:{form}}", anchor="end")


def _nice(rough: float) -> float:
    """The next step that people like to count in: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)


def _thinned(values: Sequence[tuple[datetime, float]]) -> list[tuple[datetime, float]]:
    """Of each stretch of time the lowest and the highest value, so that no spike is lost."""
    if len(values) <= 2 * _BUCKETS:
        return list(values)
    first, span = values[0][0], values[-1][0] - values[0][0]
    buckets: dict[int, list[tuple[datetime, float]]] = {}
    for one in values:
        number = int(_BUCKETS * ((one[0] - first) / span))
        buckets.setdefault(number, []).append(one)
    chosen = {values[0], values[-1]}
    for bucket in buckets.values():
        chosen |= {min(bucket, key=lambda one: one[1]), max(bucket, key=lambda one: one[1])}
    return sorted(chosen)
