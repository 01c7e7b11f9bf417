"""What makes a new backup suspect, and what is everyday work."""

from __future__ import annotations

import pytest

from helpers import losses
from helpers.manifest import ColumnPart, TablePart

from . import examples
from .examples import table

MB = 1 << 20
COLUMNS = (ColumnPart(name="id", type="integer"), ColumnPart(name="content", type="text"))


@pytest.mark.parametrize(
    ("before", "after", "percent", "expected"),
    [
        (100, 100, 50, None),
        (100, 50, 50, None),
        (100, 49, 50, "100 to 49 rows"),
        (100, 0, 100, None),
        (100, 99, 1, None),
        (100, 98, 1, "100 to 98 rows"),
        (0, 0, 1, None),
        (1, 1000, 1, None),
        (3, 1, 66, "3 to 1 rows"),
        (3, 1, 67, None),
    ],
)
def test_a_table_shrinks_too_far_when_it_loses_more_than_the_percentage(
    before: int, after: int, percent: int, expected: str | None
) -> None:
    earlier, later = (examples.manifest(table("messages", rows)) for rows in (before, after))
    reasons = losses.between(earlier, later, percent)
    assert len(reasons) == (expected is not None)
    assert expected is None or expected in reasons[0]


def test_a_table_that_is_gone_is_said_even_if_it_was_empty() -> None:
    earlier = examples.manifest(table("messages", 0), table("notes", 5))
    reasons = losses.between(earlier, examples.manifest(table("notes", 5)), 50)
    assert len(reasons) == 1
    assert "public.messages is gone (0 rows in chat_test_" in reasons[0]


def test_partitions_are_added_up_under_their_root() -> None:
    old = [table(f"log_{year}", 100, partition_of="public.log") for year in (2024, 2025)]
    new = table("log_2026", 150, partition_of="public.log")
    assert losses.between(examples.manifest(*old), examples.manifest(old[1], new), 1) == ()
    reasons = losses.between(examples.manifest(*old), examples.manifest(old[1]), 49)
    assert "public.log went from 200 to 100 rows" in reasons[0]


@pytest.mark.parametrize(
    ("before", "after", "percent", "lost"),
    [
        (10 * MB, 5 * MB, 50, False),
        (10 * MB, 5 * MB - 1, 50, True),
        (10 * MB, 0, 100, False),
        (MB, 1000, 50, True),
        (MB - 1, 1000, 50, False),
        (MB, 100 * MB, 1, False),
    ],
)
def test_rows_that_are_there_but_empty_are_a_loss(
    before: int, after: int, percent: int, lost: bool
) -> None:
    earlier, later = (
        examples.manifest(table("messages", 100, bytes=size, columns=COLUMNS))
        for size in (before, after)
    )
    reasons = losses.between(earlier, later, percent)
    assert len(reasons) == lost
    assert not lost or f"{before:,} to {after:,} bytes of data since chat_test_" in reasons[0]


@pytest.mark.parametrize("change", [{"format": "binary"}, {"columns": COLUMNS[:1]}])
def test_rows_that_are_written_otherwise_are_not_compared_by_their_bytes(
    change: dict[str, object],
) -> None:
    earlier = examples.manifest(table("messages", 100, bytes=10 * MB, columns=COLUMNS))
    after = {"bytes": MB, "columns": COLUMNS, **change}
    assert losses.between(earlier, examples.manifest(table("messages", 100, **after)), 50) == ()


def test_partitions_of_two_formats_are_not_compared_by_their_bytes() -> None:
    def log(kind: str, size: int) -> TablePart:
        return table(f"log_{kind}", 100, bytes=size, format=kind, partition_of="public.log")

    earlier = examples.manifest(log("text", 9 * MB), log("binary", 3 * MB))
    later = examples.manifest(log("text", MB), log("binary", 3 * MB))
    assert losses.between(earlier, later, 50) == ()


def test_rows_that_are_gone_are_not_told_again_as_bytes() -> None:
    earlier, later = (
        examples.manifest(table("messages", rows, bytes=rows * MB)) for rows in (10, 1)
    )
    assert [reason.split(" since")[0] for reason in losses.between(earlier, later, 50)] == [
        "table public.messages went from 10 to 1 rows"
    ]
