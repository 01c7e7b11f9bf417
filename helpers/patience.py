"""Wait for a server that is just starting, as it does beside us after a power cut."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from . import postgres
from .errors import DatabaseError
from .postgres import Session
from .progress import Progress

STARTING_SECONDS = 300.0
"""How long a start may take: with PostgreSQL's defaults a crash leaves the changes of five minutes
to be done again (checkpoint_timeout)."""

_POLL_SECONDS = 0.5


@contextmanager
def connect(parameters: Mapping[str, str], progress: Progress) -> Iterator[Session]:
    """postgres.connect, once a server that is starting has started; it tells that it waits.

    Whatever else keeps us from a database is raised at once.
    """
    with ExitStack() as stack:
        yield _connected(stack, parameters, progress)


def _connected(stack: ExitStack, parameters: Mapping[str, str], progress: Progress) -> Session:
    try:
        return stack.enter_context(postgres.connect(parameters))
    except DatabaseError as error:
        if not postgres.rejects(parameters):
            raise
        progress.note(f"{error.what}. Waiting up to {STARTING_SECONDS:.0f} s for it.")
    _wait(parameters)
    return stack.enter_context(postgres.connect(parameters))


def _wait(parameters: Mapping[str, str]) -> None:
    """Until the start has ended, or has taken too long: connecting tells which."""
    deadline = time.monotonic() + STARTING_SECONDS
    while postgres.rejects(parameters) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
