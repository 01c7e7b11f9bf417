"""What is done beside a run and may fail, hang or never end without harm to it."""

from __future__ import annotations

import time
from collections.abc import Callable

from . import threads


class Errand:
    """Work of a thread of its own that nobody needs to wait for.

    The work answers None, or why it could not be done in words that hold no secret.
    """

    def __init__(self, what: str, work: Callable[[], str | None]) -> None:
        self.what = what
        self._work = work
        self._problem: str | None = None
        self._thread = threads.beside(self._run)

    def wait(self, until: float) -> str | None:
        """What, and its problem, if there is one at `until`, a time of time.monotonic()."""
        problem = self.problem(until)
        return f"{self.what}: {problem}" if problem else None

    def problem(self, until: float) -> str | None:
        """The problem alone."""
        self._thread.join(max(0.0, until - time.monotonic()))
        return "no answer in time" if self._thread.is_alive() else self._problem

    def _run(self) -> None:
        try:
            self._problem = self._work()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not reach the run
            self._problem = type(error).__name__
