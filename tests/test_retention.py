"""Retention: what the rules keep, what they never touch, and what holds for any set of backups."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers.errors import ConfigError
from helpers.retention import Candidate, Decision, plan
from helpers.settings import Keep

RULES = ("last", "daily", "weekly", "monthly", "yearly")
NONE = dict.fromkeys(RULES, 0)
START = datetime(2024, 12, 25, tzinfo=UTC)


def only(**counts: int) -> Keep:
    return Keep(**{**NONE, **counts})


def backup(time: str, name: str = "", *, verified: bool = True, suspect: bool = False) -> Candidate:
    moment = datetime.fromisoformat(time).replace(tzinfo=UTC)
    return Candidate(name or time, moment, verified, suspect)


def kept(decisions: tuple[Decision, ...]) -> list[str]:
    return [decision.name for decision in decisions if decision.keep]


def reasons(decisions: tuple[Decision, ...]) -> dict[str, tuple[str, ...]]:
    return {decision.name: decision.reasons for decision in decisions}


@st.composite
def keeps(draw: st.DrawFn) -> Keep:
    counts = draw(
        st.fixed_dictionaries({rule: st.integers(0, 5) for rule in RULES}).filter(
            lambda counts: any(counts.values())
        )
    )
    return Keep(**counts)


# Few distinct hours beside far ones, so that ties, shared days and gaps of years all come up.
HOURS = st.integers(0, 60) | st.integers(0, 24 * 800)
STATES = st.sampled_from([(True, False)] * 4 + [(True, True), (False, False), (False, True)])


@st.composite
def stores(
    draw: st.DrawFn, states: st.SearchStrategy[tuple[bool, bool]] = STATES
) -> list[Candidate]:
    drawn = draw(st.lists(st.tuples(HOURS, states), max_size=40))
    return [
        Candidate(f"b{number:02}", START + timedelta(hours=hours), *state)
        for number, (hours, state) in enumerate(drawn)
    ]


TRUSTED_STORES = stores(st.just((True, False)))


def test_an_empty_store_has_an_empty_plan() -> None:
    assert plan([], Keep()) == ()


def test_decisions_come_newest_first_and_those_of_one_time_by_name() -> None:
    found = [backup("2026-01-01", "a"), backup("2026-01-02", "c"), backup("2026-01-01", "b")]
    assert [decision.name for decision in plan(found, Keep())] == ["c", "b", "a"]


def test_daily_keeps_the_newest_of_each_of_the_newest_days_that_have_one() -> None:
    found = [
        backup(time)
        for time in (
            "2026-11-22T01",
            "2026-11-22T23",
            "2026-11-21T05",
            "2026-11-03T05",
            "2026-11-02T05",
        )
    ]
    decisions = plan(found, only(daily=3))
    assert reasons(decisions) == {
        "2026-11-22T23": ("newest verified", "daily 2026-11-22"),
        "2026-11-22T01": ("no rule keeps it",),
        "2026-11-21T05": ("daily 2026-11-21",),
        "2026-11-03T05": ("daily 2026-11-03",),
        "2026-11-02T05": ("no rule keeps it",),
    }


def test_every_rule_that_wants_a_backup_is_among_its_reasons() -> None:
    decisions = plan([backup("2026-11-22")], Keep(last=3, yearly=1))
    assert decisions[0].reasons == (
        "newest verified",
        "last 1 of 3",
        "daily 2026-11-22",
        "weekly 2026-W47",
        "monthly 2026-11",
        "yearly 2026",
    )


def test_weeks_are_iso_weeks_across_the_new_year() -> None:
    found = [backup("2027-01-03"), backup("2026-12-28"), backup("2027-01-04")]
    assert reasons(plan(found, only(weekly=2))) == {
        "2027-01-04": ("newest verified", "weekly 2027-W01"),
        "2027-01-03": ("weekly 2026-W53",),
        "2026-12-28": ("no rule keeps it",),
    }


def test_days_are_counted_in_utc_whatever_zone_a_time_is_given_in() -> None:
    auckland = timezone(timedelta(hours=13))
    found = [
        Candidate("evening", datetime(2026, 11, 22, 23, tzinfo=UTC), True, False),
        Candidate("noon", datetime(2026, 11, 23, 1, tzinfo=auckland), True, False),
    ]
    assert reasons(plan(found, only(daily=5))) == {
        "evening": ("newest verified", "daily 2026-11-22"),
        "noon": ("no rule keeps it",),
    }


def test_last_counts_backups_however_close_they_are() -> None:
    found = [backup(f"2026-11-22T0{hour}") for hour in range(5)]
    assert kept(plan(found, only(last=2))) == ["2026-11-22T04", "2026-11-22T03"]


def test_an_unverified_backup_neither_goes_nor_takes_a_place() -> None:
    found = [backup("2026-11-22T09", verified=False), backup("2026-11-22T08"), backup("2026-11-21")]
    assert reasons(plan(found, only(daily=1))) == {
        "2026-11-22T09": ("not verified: never counted, never deleted",),
        "2026-11-22T08": ("newest verified", "daily 2026-11-22"),
        "2026-11-21": ("no rule keeps it",),
    }


def test_everything_older_stays_while_the_newest_verified_backup_is_suspect() -> None:
    found = [
        backup("2026-11-23", verified=False),
        backup("2026-11-22", suspect=True),
        backup("2026-11-21"),
        backup("2026-11-20"),
    ]
    assert reasons(plan(found, only(last=1))) == {
        "2026-11-23": ("not verified: never counted, never deleted",),
        "2026-11-22": ("suspect: waits for accept or for your decision",),
        "2026-11-21": ("newest verified", "last 1 of 1"),
        "2026-11-20": ("older than a suspect backup",),
    }


def test_a_suspect_backup_that_has_rotted_still_holds_what_is_older() -> None:
    found = [
        backup("2026-11-22", verified=False, suspect=True),
        backup("2026-11-21"),
        backup("2026-11-20"),
    ]
    assert kept(plan(found, only(last=1))) == ["2026-11-22", "2026-11-21", "2026-11-20"]


def test_a_trusted_backup_newer_than_every_suspect_lets_the_rules_apply_again() -> None:
    found = [backup("2026-11-23"), backup("2026-11-22", suspect=True), backup("2026-11-21")]
    assert kept(plan(found, only(last=1))) == ["2026-11-23", "2026-11-22"]


def test_keep_refuses_to_keep_nothing() -> None:
    with pytest.raises(ValueError, match="every KEEP_ rule is 0"):
        only()


def test_a_plan_refuses_rules_that_are_all_zero_even_if_they_were_never_validated() -> None:
    with pytest.raises(ConfigError, match="Every KEEP_ rule is 0"):
        plan([backup("2026-11-22")], Keep.model_construct(None, **NONE))


@given(stores(), keeps())
def test_each_candidate_gets_one_decision_with_reasons(found: list[Candidate], keep: Keep) -> None:
    decisions = plan(found, keep)
    assert sorted(decision.name for decision in decisions) == [c.name for c in found]
    assert all(decision.reasons for decision in decisions)
    assert all(
        (decision.reasons == ("no rule keeps it",)) != decision.keep for decision in decisions
    )


@given(stores(), keeps())
def test_the_newest_trusted_backup_always_stays(found: list[Candidate], keep: Keep) -> None:
    trusted = [candidate for candidate in found if candidate.trusted]
    assume(trusted)
    newest = max(trusted, key=lambda candidate: (candidate.time, candidate.name))
    assert newest.name in kept(plan(found, keep))


@given(stores(), keeps())
def test_only_trusted_backups_are_ever_deleted(found: list[Candidate], keep: Keep) -> None:
    trusted = {candidate.name for candidate in found if candidate.trusted}
    assert {decision.name for decision in plan(found, keep) if not decision.keep} <= trusted


@given(stores(), keeps())
def test_nothing_is_deleted_while_the_newest_verified_is_suspect(
    found: list[Candidate], keep: Keep
) -> None:
    later = Candidate("suspect", START + timedelta(days=900), True, True)
    assert all(decision.keep for decision in plan([*found, later], keep))


@given(stores(), keeps(), st.sampled_from(RULES))
def test_a_higher_count_never_loses_a_backup(found: list[Candidate], keep: Keep, rule: str) -> None:
    more = keep.model_copy(update={rule: getattr(keep, rule) + 1})
    assert set(kept(plan(found, keep))) <= set(kept(plan(found, more)))


@given(stores(), keeps())
def test_a_second_plan_over_what_the_first_kept_decides_the_same(
    found: list[Candidate], keep: Keep
) -> None:
    # It holds for the union: the newest of each wanted period was kept, and dropping others can
    # neither put another in its place nor bring an older period among the newest N.
    first = tuple(decision for decision in plan(found, keep) if decision.keep)
    names = {decision.name for decision in first}
    assert plan([candidate for candidate in found if candidate.name in names], keep) == first


@given(stores(), keeps(), st.randoms())
def test_the_order_in_which_backups_are_listed_does_not_matter(
    found: list[Candidate], keep: Keep, chance: object
) -> None:
    shuffled = list(found)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert plan(shuffled, keep) == plan(found, keep)


@given(TRUSTED_STORES, keeps())
def test_no_rule_keeps_more_than_its_count(found: list[Candidate], keep: Keep) -> None:
    decisions = plan(found, keep)
    given_reasons = [reason for decision in decisions for reason in decision.reasons]
    for rule in RULES:
        assert sum(reason.startswith(f"{rule} ") for reason in given_reasons) <= getattr(keep, rule)
    total = keep.last + keep.daily + keep.weekly + keep.monthly + keep.yearly
    assert len(kept(decisions)) <= total + 1


@given(stores(), keeps(), st.integers(0, 24 * 400), st.booleans())
def test_a_newer_backup_that_is_not_suspect_brings_none_back(
    found: list[Candidate], keep: Keep, hours: int, verified: bool
) -> None:
    newer = Candidate("newer", START + timedelta(days=801, hours=hours), verified, False)
    gone = {decision.name for decision in plan(found, keep) if not decision.keep}
    assert gone.isdisjoint(kept(plan([*found, newer], keep)))


@given(stores(), keeps())
def test_unverified_backups_change_nothing_for_the_others(
    found: list[Candidate], keep: Keep
) -> None:
    others = [candidate for candidate in found if candidate.verified or candidate.suspect]
    names = {candidate.name for candidate in others}
    assert plan(others, keep) == tuple(d for d in plan(found, keep) if d.name in names)


@given(stores(), keeps())
def test_accepting_every_suspect_leaves_the_plain_rules(found: list[Candidate], keep: Keep) -> None:
    accepted = [replace(candidate, suspect=False) for candidate in found]
    held = {"suspect: waits for accept or for your decision", "older than a suspect backup"}
    assert all(held.isdisjoint(decision.reasons) for decision in plan(accepted, keep))
