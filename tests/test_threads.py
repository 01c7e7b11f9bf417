"""Threads that start while an interruption arrives, and work that several of them share."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from helpers import interrupts, threads
from helpers.errors import Interruption


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """SIGTERM arrives amid the start of every thread; those that have started."""
    ended: list[str] = []
    joinable = hasattr(threading, "_start_joinable_thread")  # since Python 3.13
    name = "_start_joinable_thread" if joinable else "_start_new_thread"
    start = getattr(threading, name)

    def interrupted(*words: Any, **named: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        handle = start(*words, **named)
        ended.append("one")
        return handle

    monkeypatch.setattr(threading, name, interrupted)
    return ended


@pytest.mark.usefixtures("starts")
def test_a_thread_that_is_started_runs_though_an_interruption_arrives() -> None:
    done = threading.Event()
    with pytest.raises(Interruption), interrupts.raised():
        threads.beside(done.set)
    assert done.wait(5)


def test_work_that_an_interruption_finds_starting_is_given_up_and_waited_for(
    starts: list[str],
) -> None:
    over, given_up = threading.Event(), []
    before = threading.active_count()

    def give_up() -> None:
        given_up.append("all of it")
        over.set()

    with (
        pytest.raises(Interruption),
        interrupts.raised(),
        threads.mapped(lambda _: over.wait(5), range(100), 2, give_up),
    ):
        pytest.fail("the body began")
    assert len(starts) == 2
    assert given_up == ["all of it"]
    assert threading.active_count() == before


def test_what_has_not_begun_is_dropped_when_the_body_fails() -> None:
    begun, over = [], threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        over.wait(5)

    with (
        pytest.raises(ValueError, match="of the body"),
        threads.mapped(work, range(100), 2, over.set),
    ):
        raise ValueError("of the body")
    assert len(begun) <= 2


def test_results_come_in_the_order_of_the_items_and_errors_where_they_belong() -> None:
    def work(number: int) -> int:
        return 12 // number

    with threads.mapped(work, (3, 2, 1), 2) as results:
        assert list(results) == [4, 6, 12]
    with threads.mapped(work, (1, 0), 2) as results:
        assert next(results) == 12
        with pytest.raises(ZeroDivisionError):
            next(results)
