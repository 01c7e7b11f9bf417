"""Signals that ask a run to end: as an error where it is, a little later, or not at all."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .errors import Interruption

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Held:
    """How many blocks hold interruptions back (signals are the process's), and what came."""

    depth = 0
    number: int | None = None


@contextmanager
def raised() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into Interruption; ignore more while cleaning up."""
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def held() -> Iterator[None]:
    """Let an interruption wait for the end of a moment in which it would lose what is just made.

    Python runs signal handlers in the main thread: in another one there is nothing to hold.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Held.depth += 1
    try:
        yield
    finally:
        _Held.depth -= 1
        if _Held.number and not _Held.depth:
            number, _Held.number = _Held.number, None
            raise Interruption(number)


@contextmanager
def ignored() -> Iterator[None]:
    """Let no signal interrupt what must be done to its end, and is short."""
    before = {number: signal.signal(number, _ignore) for number in _SIGNALS}
    try:
        yield
    finally:
        _restore(before)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for other in _SIGNALS:
        signal.signal(other, _ignore)
    if _Held.depth:
        _Held.number = number
    else:
        raise Interruption(number)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; SIG_IGN would be inherited by programs that are started, which must end."""


def _restore(before: dict[signal.Signals, signal._HANDLER]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
