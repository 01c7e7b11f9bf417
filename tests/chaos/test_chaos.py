"""A short form of `make chaos`: rounds of each kind, with a seed of its own for each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ..servers import REQUIRE_ALL
from .__main__ import MEANING, SHARES, lacking, play


@pytest.mark.parametrize(
    ("kinds", "rounds"),
    [
        (("kill", "session", "outage"), 5),
        (("cut", "misread", "fill"), 4),
        (("refuse", "vanish"), 3),
        (("clock",), 1),
        (("ext4", "xfs", "btrfs"), 3),
    ],
)
def test_a_few_rounds_of_faults_cost_nobody_a_backup(
    tmp_path: Path, kinds: tuple[str, ...], rounds: int
) -> None:
    if missing := lacking(list(kinds)):
        assert REQUIRE_ALL not in os.environ, missing
        pytest.skip(str(missing))
    played = play(tmp_path, rounds, 7, list(kinds))
    assert not played.found


def test_every_kind_of_round_is_explained() -> None:
    assert set(MEANING) == set(SHARES)
