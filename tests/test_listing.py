"""The backups of a store, what is said against them, and what a selector means."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers import checks, listing
from helpers.checks import Accepted
from helpers.errors import NotFoundError, RefusedError
from helpers.names import Name, parse_name
from helpers.store import Store

from . import examples
from .running import environment, pgbackup

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
URL = "postgresql://nobody@127.0.0.1:1/chat"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    place = tmp_path / "store"
    place.mkdir()
    return Store(place)


def named(hours: int = 0, database: str = "chat", environment: str = "test") -> Name:
    return Name(database, environment, NOON + timedelta(hours=hours))


def only(store: Store) -> listing.Backup:
    (found,) = listing.backups(store, None)
    return found


def test_an_empty_store_lists_nothing(store: Store) -> None:
    assert listing.backups(store, None) == []


def test_backups_come_newest_first_and_only_those_of_the_environment(store: Store) -> None:
    for name in (named(1), named(3), named(2), named(4, environment="prod")):
        examples.backup(store.path, name)
    assert [b.name for b in listing.backups(store, "test")] == [named(3), named(2), named(1)]
    assert len(listing.backups(store, None)) == 4


def test_what_is_no_backup_is_not_listed(store: Store) -> None:
    place = examples.backup(store.path, named())
    for other in (
        ".partial-chat_test_20260101T000000Z",
        "chat_test_20261301T000000Z",
        "lost+found",
    ):
        (store.path / other).mkdir()
    (store.path / "chat_test_20260101T000000Z").write_text("a file")
    (store.path / "chat_test_20260102T000000Z").symlink_to(place)
    assert only(store).path == place


def test_a_verified_backup_is_trusted(store: Store) -> None:
    examples.backup(store.path, named())
    found = only(store)
    assert (found.damage, found.depth, found.verified, found.trusted) == (None, 2, True, True)


@pytest.mark.parametrize("outcome", ["failed", "cannot judge", None])
def test_a_backup_that_did_not_pass_is_not_trusted(store: Store, outcome: checks.Outcome) -> None:
    examples.backup(store.path, named(), outcome)
    found = only(store)
    assert (found.damage, found.depth, found.trusted) == (None, 0, False)


def _empty(place: Path) -> None:
    (place / "manifest.json").write_bytes(b"")


def _lose(place: Path) -> None:
    (place / "toc.dat").unlink()


def _cut(place: Path) -> None:
    os.truncate(place / "toc.dat", 3)


def _rename(place: Path) -> None:
    text = (place / "manifest.json").read_text()
    (place / "manifest.json").write_text(text.replace("chat_test_", "cash_test_"))


def _edit(place: Path) -> None:
    text = (place / "manifest.json").read_text()
    (place / "manifest.json").write_text(text.replace('"rows": 100', '"rows": 101'))


def _forge(place: Path) -> None:
    text = (place / "verification.json").read_text()
    (place / "verification.json").write_text(text.replace("passed", "failed", 1))


def _replace_by_fifo(place: Path) -> None:
    (place / "manifest.json").unlink()
    os.mkfifo(place / "manifest.json")


def _clear(place: Path) -> None:
    for file in place.iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_empty, "manifest.json is not a manifest"),
        (_lose, "toc.dat is missing"),
        (_cut, "toc.dat has not the size"),
        (_rename, "its manifest is of cash_test_"),
        (_edit, "its manifest is not the one that was verified"),
        (_forge, "verification.json was changed"),
        (_replace_by_fifo, "manifest.json is not a plain file"),
        (_clear, "manifest.json cannot be read (No such file or directory)"),
    ],
)
def test_damage_that_shows_without_reading_data_is_said(
    store: Store, damage: Callable[[Path], None], said: str
) -> None:
    damage(examples.backup(store.path, named()))
    found = only(store)
    assert said in (found.damage or "")
    assert (found.depth, found.verified, found.trusted) == (0, False, False)


def test_a_suspect_backup_is_trusted_once_it_is_accepted(store: Store) -> None:
    place = examples.backup(store.path, named())
    suspect = listing.Backup(
        named(),
        place,
        examples.manifest().model_copy(update={"suspect": ("rows are gone",)}),
        checks.read(place),
        None,
    )
    assert (suspect.suspect, suspect.verified, suspect.trusted) == (("rows are gone",), True, False)
    record = checks.read(place)
    assert record is not None
    accepted = record.model_copy(update={"accepted": Accepted(time=NOON, by="somebody")})
    agreed = listing.Backup(named(), place, suspect.manifest, accepted, None)
    assert (agreed.suspect, agreed.trusted) == ((), True)


def test_a_new_backup_is_held_against_the_last_of_its_database_and_environment(
    store: Store,
) -> None:
    examples.backup(store.path, named(1))
    examples.backup(store.path, named(2), "failed")
    examples.backup(store.path, named(3, database="other"))
    examples.backup(store.path, named(4, environment="prod"))
    found = listing.reference(store, named(5))
    assert found is not None
    assert found.name == named(2)  # its data may have rotted, what it held is known
    found = listing.reference(store, named(2))
    assert found is not None
    assert found.name == named(1)


def test_a_backup_from_the_future_is_no_measure_for_a_new_one(store: Store) -> None:
    for day in (1, 2, 9):
        examples.backup(store.path, named(day))
    found = listing.reference(store, named(5))
    assert found is not None
    assert found.name == named(2)
    found = listing.reference(store, named(0))
    assert found is not None  # all of them are from its future: the clock was put back
    assert found.name == named(9)


def test_nobody_knows_the_latest_while_a_backup_is_from_the_future(store: Store) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    for hours in (-1, 2):
        examples.backup(store.path, Name("chat", "test", now + timedelta(hours=hours)))
    with pytest.raises(RefusedError, match="from the future"):
        listing.select("latest", store, "test")
    ahead = str(store.names()[0])
    assert listing.select(ahead, store, "test").name == ahead


def test_a_backup_that_goes_while_a_list_is_made_is_not_called_damaged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in (1, 2):
        examples.backup(store.path, named(day))
    known = store.names("test")
    shutil.rmtree(store.place(named(2)))
    monkeypatch.setattr(store, "names", lambda _environment: known)
    assert [backup.name for backup in listing.backups(store, "test")] == [named(1)]


def test_two_thousand_backups_are_listed_within_two_seconds(store: Store, tmp_path: Path) -> None:
    for number in range(2000):
        examples.backup(store.path, named(number))
    measured = environment(URL, store.path)
    env = {key: value for key, value in measured.items() if not key.startswith("COVERAGE")}
    assert pgbackup("list", env=env, cwd=tmp_path).out.count("chat_test_") == 2000
    used: list[float] = []
    while len(used) < 3 and min(used, default=2.0) >= 2:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ran = pgbackup("list", "--json", env=env, cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Of the CPU, and the best of three: what else the machine does is not the program's. The
    # table for people takes another second, to draw.
    assert min(used) < 2
    assert len(ran.json["backups"]) == 2000
    assert ran.json["backups"][0]["name"] == str(named(1999))


def test_one_absurd_backup_does_not_hide_the_others(store: Store, tmp_path: Path) -> None:
    examples.backup(store.path, named(1))
    document = json.loads((examples.backup(store.path, named(2)) / "manifest.json").read_text())
    document["totals"]["file_bytes"] = 10**400
    document["backup"]["name"] = "\x1b[2J\nfine"
    (store.place(named(2)) / "manifest.json").write_text(json.dumps(document))
    ran = pgbackup("list", env=environment(URL, store.path), cwd=tmp_path)
    assert ran.code == 0, ran.said
    assert "\x1b" not in ran.said
    lines = [line for line in ran.out.splitlines() if "chat_test_" in line]
    assert ["damaged" in line for line in lines] == [True, False]


@pytest.fixture
def one(store: Store) -> Path:
    return examples.backup(store.path, named())


def test_a_name_or_latest_means_the_backup_of_the_environment(store: Store, one: Path) -> None:
    examples.backup(store.path, named(1, environment="prod"))
    assert listing.select(str(named()), store, "test") == one
    assert listing.select("latest", store, "test") == one


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/toc.dat", "{}/manifest.json", "{}/./../{}"])
def test_a_path_to_a_backup_or_into_it_means_the_backup(
    one: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(one.parent)
    relative = spelling.format(one.name, one.name)
    assert listing.select(relative, None, None) == one
    assert listing.select(f"{one.parent}/{relative}", None, None) == one
    monkeypatch.chdir(one)
    assert listing.select(".", None, None) == one
    assert listing.select("toc.dat", None, None) == one


def test_a_link_in_a_backup_is_part_of_it_wherever_it_points(one: Path, tmp_path: Path) -> None:
    elsewhere = (one / "toc.dat").rename(tmp_path / "elsewhere")
    (one / "toc.dat").symlink_to(elsewhere)
    assert listing.select(str(one / "toc.dat"), None, None) == one


def test_a_dump_beside_a_manifest_of_something_else_is_not_in_a_backup(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "a web application"}')
    dump = tmp_path / "dump.sql"
    dump.touch()
    assert listing.select(str(dump), None, None) == dump


def test_a_home_directory_is_expanded(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(one.parent))
    assert listing.select(f"~/{one.name}", None, None) == one


def test_a_name_of_another_environment_is_not_found_and_its_environment_named(
    store: Store, one: Path
) -> None:
    with pytest.raises(NotFoundError) as caught:
        listing.select(one.name, store, "prod")
    assert "environment test, not prod" in caught.value.what
    assert "--env test" in caught.value.do
    with pytest.raises(NotFoundError, match="no backup of prod"):
        listing.select("latest", store, "prod")


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "nothing",
        "~nobody-of-this-name/x",
        "/nowhere/at/all",
        "x" * 5000,
        "a\0b",
        "\udcff",
        "no/",
    ],
)
def test_what_is_not_there_is_not_found(store: Store, selector: str) -> None:
    assert parse_name(selector) is None
    with pytest.raises(NotFoundError):
        listing.select(selector, store, "test")
