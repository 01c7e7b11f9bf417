"""What is said of a run: complete, in one line where it must be, and without secrets."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from helpers import outcomes
from helpers.errors import DatabaseError, Interruption
from helpers.outcomes import Facts, Run

from .running import SECRET

STARTED = datetime(2026, 11, 22, 2, 17, tzinfo=UTC)


def run(code: int = 0, facts: Facts | None = None, *, interrupted: bool = False) -> Run:
    facts = facts or Facts("shop")
    return Run("backup", "prod", "host", STARTED, 90.5, code, interrupted, facts)


@pytest.mark.parametrize(
    ("before", "code", "event"),
    [
        (None, 0, "success"),
        ({"exit_code": 0}, 0, "success"),
        ({"exit_code": 3}, 0, "recovery"),
        ({"exit_code": 8}, 0, "recovery"),
        ({}, 0, "recovery"),
        (None, 3, "failure"),
        ({"exit_code": 3}, 8, "failure"),
    ],
    ids=str,
)
def test_a_success_after_anything_else_is_a_recovery(
    before: dict[str, object] | None, code: int, event: str
) -> None:
    assert outcomes.event(run(code), before) == event


def test_an_outcome_is_one_word() -> None:
    assert run().outcome == "done"
    assert run(3).outcome == "failed"
    assert run(8, Facts(suspect=True)).outcome == "suspect"
    assert run(143, interrupted=True).outcome == "interrupted"


def test_an_error_gives_its_code_and_what_it_says() -> None:
    error = DatabaseError("It refused.", "Ask it again.")
    assert outcomes.of_error(error, "shop") == (
        3,
        False,
        Facts("shop", what="It refused.", do="Ask it again."),
    )
    assert outcomes.of_error(Interruption(15), None)[:2] == (143, True)
    code, _, facts = outcomes.of_error(FileNotFoundError(2, "No such file", "/x"), None)
    assert (code, facts.what) == (4, "The operating system refused: /x: No such file.")


def test_what_an_unexpected_error_says_is_not_passed_on() -> None:
    code, _, facts = outcomes.of_error(ValueError(f"could not parse {SECRET}"), "shop")
    assert code == 1
    assert facts.what == "Unexpected ValueError."
    assert SECRET not in str(facts)


def test_a_subject_is_one_line_whatever_the_database_is_called() -> None:
    odd = run(3, Facts("a\r\nBcc: all@example.com"))
    assert outcomes.subject(odd, recovered=False) == (
        "prod: backup of a Bcc: all@example.com FAILED"
    )
    assert outcomes.subject(run(), recovered=True) == "prod: backup of shop works again"


def test_a_body_says_everything_in_the_order_of_urgency() -> None:
    facts = Facts("shop", "shop_prod_x", 1234, 5, what="It broke.", do="Mend it.")
    lines = outcomes.body(run(9, facts), "shop_prod_w, 3 days old", ["dump: 2 tables"]).split("\n")
    assert lines == [
        "What happened: It broke.",
        "What to do: Mend it.",
        "Backup: shop_prod_x",
        "Rows: 1,234",
        "Newest good backup: shop_prod_w, 3 days old",
        "Environment: prod",
        "Database: shop",
        "Host: host",
        "Ended: 2026-11-22 02:18:30 UTC, after 90.5 s, with exit code 9",
        "",
        "The last lines of its log:",
        "  dump: 2 tables",
    ]
    assert outcomes.body(run(), "none").startswith("Newest good backup: none\nEnvironment: prod")


def test_a_record_is_flat_and_has_every_field() -> None:
    record = outcomes.record(run(), "1.2.3", ["ping at the end: no connection"])
    assert json.loads(json.dumps(record)) == {
        "schema_version": 1,
        "time": "2026-11-22T02:18:30+00:00",
        "verb": "backup",
        "environment": "prod",
        "database": "shop",
        "outcome": "done",
        "exit_code": 0,
        "seconds": 90.5,
        "backup": None,
        "rows": None,
        "bytes": None,
        "what": "",
        "do": "",
        "host": "host",
        "version": "1.2.3",
        "untold": ["ping at the end: no connection"],
    }


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 minutes"),
        (3599, "59 minutes"),
        (7200, "2 hours"),
        (47 * 3600, "47 hours"),
        (172800, "2 days"),
    ],
    ids=str,
)
def test_an_age_is_said_as_people_do(seconds: float, said: str) -> None:
    assert outcomes.age(seconds) == said
