"""An interruption waits for the end of what must not be torn apart, and is never lost."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable

import pytest

from helpers import interrupts
from helpers.errors import Interruption

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupted(work: Callable[[], object]) -> Interruption:
    """The interruption that some work ends in."""
    with pytest.raises(Interruption) as caught, interrupts.raised():
        work()
    return caught.value


@pytest.mark.parametrize("number", SIGNALS)
def test_what_arrives_in_a_held_moment_is_raised_at_its_end(number: signal.Signals) -> None:
    reached = []

    def work() -> None:
        with interrupts.held():
            signal.raise_signal(number)
            reached.append("the end of the moment")
        reached.append("what comes after it")

    assert interrupted(work).code == 128 + number
    assert reached == ["the end of the moment"]


def test_only_the_outermost_moment_lets_an_interruption_through() -> None:
    reached = []

    def work() -> None:
        with interrupts.held():
            with interrupts.held():
                signal.raise_signal(signal.SIGTERM)
            reached.append("the end of the outer one")

    interrupted(work)
    assert reached


def test_an_interruption_is_raised_though_the_moment_itself_fails() -> None:
    def work() -> None:
        with interrupts.held():
            signal.raise_signal(signal.SIGTERM)
            raise ValueError("of the moment")

    assert isinstance(interrupted(work).__context__, ValueError)


def test_a_moment_that_fails_undisturbed_raises_its_own_error() -> None:
    with pytest.raises(ValueError, match="of the moment"), interrupts.held():
        raise ValueError("of the moment")


def test_nothing_is_held_once_a_moment_is_over() -> None:
    reached = []

    def work() -> None:
        with interrupts.held():
            reached.append("the moment")
        signal.raise_signal(signal.SIGTERM)
        reached.append("what comes after the signal")

    interrupted(work)
    assert reached == ["the moment"]


def test_what_was_raised_once_is_not_raised_again() -> None:
    def work() -> None:
        with interrupts.held():
            signal.raise_signal(signal.SIGTERM)

    interrupted(work)
    with interrupts.raised(), interrupts.held():
        pass


def test_another_thread_holds_nothing_back_from_the_main_one() -> None:
    inside, over = threading.Event(), threading.Event()
    reached = []

    def hold() -> None:
        with interrupts.held():
            inside.set()
            over.wait(10)

    def work() -> None:
        assert inside.wait(10)
        signal.raise_signal(signal.SIGTERM)
        reached.append("what comes after it")

    other = threading.Thread(target=hold)
    other.start()
    try:
        interrupted(work)
    finally:
        over.set()
        other.join()
    assert not reached


def test_a_program_started_after_the_signal_can_still_be_ended() -> None:
    codes = []

    def work() -> None:
        with interrupts.held():
            signal.raise_signal(signal.SIGTERM)
            with subprocess.Popen(["sleep", "15"]) as program:
                program.terminate()
                codes.append(program.wait(10))

    interrupted(work)
    assert codes == [-signal.SIGTERM]


def test_every_handler_is_what_it_was_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    interrupted(lambda: signal.raise_signal(signal.SIGTERM))
    assert [signal.getsignal(number) for number in SIGNALS] == before
