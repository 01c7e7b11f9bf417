"""Start threads: one beside the run, or several that share a list of work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from . import interrupts

_T = TypeVar("_T")
_R = TypeVar("_R")


def beside(work: Callable[..., object], *words: object) -> threading.Thread:
    """A started thread without which the process may end.

    An interruption waits until it has started: amid that, threading.Thread.start takes every
    Exception for its own failure, and the thread dies with a KeyError for all to read.
    """
    thread = threading.Thread(target=work, args=words, daemon=True)
    with interrupts.held():
        thread.start()
    return thread


@contextmanager
def mapped(
    work: Callable[[_T], _R],
    items: Iterable[_T],
    jobs: int,
    give_up: Callable[[], object] = lambda: None,
) -> Iterator[Iterator[_R]]:
    """What the work makes of each item, in their order, by so many threads.

    When the body ends they have ended, too. On an error, or an interruption, what has not begun is
    dropped, and `give_up` called, which should end what has.
    """
    with ThreadPoolExecutor(jobs) as pool:
        try:
            with interrupts.held():  # for the same reason: each item may start a thread
                results = pool.map(work, items)
            yield results
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            give_up()
            raise
