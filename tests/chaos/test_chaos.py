"""A short form of `make chaos`: rounds of each kind, with a seed of its own for each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..servers import REQUIRE_ALL
from . import clocks, mounting
from .__main__ import MEANING, SHARES, play

LACKING = {
    **dict.fromkeys(("cut", "refuse", "fill", "misread", "stall", "vanish"), mounting.unavailable),
    "clock": lambda: None if clocks.library() else "there is no libfaketime",
}


@pytest.mark.parametrize(
    ("kinds", "rounds"),
    [
        (("kill", "session", "outage"), 5),
        (("cut", "misread", "fill"), 4),
        (("refuse", "vanish"), 3),
        (("clock",), 1),
    ],
)
def test_a_few_rounds_of_faults_cost_nobody_a_backup(
    tmp_path: Path, kinds: tuple[str, ...], rounds: int
) -> None:
    for kind in kinds:
        if why := LACKING.get(kind, lambda: None)():
            assert REQUIRE_ALL not in os.environ, why
            pytest.skip(why)
    played = play(tmp_path, rounds, 7, list(kinds))
    assert not played.found


def test_every_kind_of_round_is_explained() -> None:
    assert set(MEANING) == set(SHARES)
