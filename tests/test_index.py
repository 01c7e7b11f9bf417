"""The index of a large store: quick, and never other than what lies there."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers import index, listing, prune
from helpers.index import Glance
from helpers.names import Name
from helpers.progress import Quiet
from helpers.settings import Keep
from helpers.store import Store

from . import examples

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Some backups, enough for an index, written long enough ago to be kept in one."""
    monkeypatch.setattr(index, "WORTHWHILE", 3)
    monkeypatch.setattr(index, "_UNSETTLED", -1)
    place = tmp_path / "store"
    place.mkdir()
    for hours in range(5):
        examples.backup(place, Name("chat", "test", NOON + timedelta(hours=hours)))
    return Store(place)


def read_anew(store: Store) -> list[Glance]:
    return [index.glance(backup) for backup in listing.backups(store, "test")]


def kept(store: Store) -> Path:
    return store.path / ".index-test.json"


def newest(store: Store) -> Path:
    return store.place(store.names("test")[0])


def test_an_index_says_what_reading_every_backup_says(store: Store) -> None:
    first = index.glances(store, "test")
    assert kept(store).stat().st_mode & 0o777 == 0o600
    assert first == index.glances(store, "test") == read_anew(store)


def test_with_an_index_no_manifest_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = index.glances(store, "test")
    monkeypatch.setattr(listing, "load", lambda *_: pytest.fail("it was read"))
    assert index.glances(store, "test") == first


def test_a_small_store_has_no_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "WORTHWHILE", 6)
    assert index.glances(store, "test") == read_anew(store)
    assert not kept(store).exists()


def _cut_data(place: Path) -> None:
    os.truncate(place / "toc.dat", 3)


def _lose_data(place: Path) -> None:
    (place / "toc.dat").unlink()


def _edit_the_manifest_and_set_its_time_back(place: Path) -> None:
    file = place / "manifest.json"
    before = file.stat()
    file.write_text(file.read_text().replace('"rows": 100', '"rows": 101'))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace_the_record(place: Path) -> None:
    file = place / "verification.json"
    other = file.with_suffix(".new")
    other.write_text(file.read_text().replace("passed", "failed", 1))
    other.rename(file)


def _lose_the_record(place: Path) -> None:
    (place / "verification.json").unlink()


def _remove(place: Path) -> None:
    shutil.rmtree(place)


@pytest.mark.parametrize(
    "change",
    [
        _cut_data,
        _lose_data,
        _edit_the_manifest_and_set_its_time_back,
        _replace_the_record,
        _lose_the_record,
        _remove,
    ],
    ids=lambda change: change.__name__.strip("_"),
)
def test_a_change_of_a_backup_is_seen_past_the_index(
    store: Store, change: Callable[[Path], None]
) -> None:
    first = index.glances(store, "test")
    time.sleep(0.02)  # a file system's clock ticks a few hundred times a second
    change(newest(store))
    second = index.glances(store, "test")
    assert second == read_anew(store)
    assert second != first


def test_a_new_backup_is_seen_past_the_index(store: Store) -> None:
    index.glances(store, "test")
    late = Name("chat", "test", NOON + timedelta(days=1))
    examples.backup(store.path, late)
    assert index.glances(store, "test")[0].name == late


def test_what_was_written_a_moment_ago_is_not_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_UNSETTLED", 3_600_000_000_000)
    index.glances(store, "test")
    assert not kept(store).exists()


def test_an_index_that_cannot_be_written_is_no_error(store: Store) -> None:
    kept(store).with_name(".index-test.json.new").mkdir()
    assert index.glances(store, "test") == read_anew(store)
    assert not kept(store).exists()


@pytest.mark.parametrize("how", ["cut", "flipped", "forged", "link", "directory"])
def test_an_index_that_is_damaged_is_made_anew(store: Store, how: str) -> None:
    first = index.glances(store, "test")
    path = kept(store)
    data = path.read_bytes()
    if how == "cut":
        path.write_bytes(data[:100])
    elif how == "flipped":
        path.write_bytes(data.replace(b'"rows":100', b'"rows":900'))
    elif how == "forged":
        path.write_bytes(b"{}\n{}")
    elif how == "link":
        path.rename(store.path / "elsewhere")
        path.symlink_to("elsewhere")
    else:
        path.unlink()
        path.mkdir()
    assert index.glances(store, "test") == first


def test_prune_deletes_by_what_lies_there_not_by_an_index(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = index.glances(store, "test")
    for name in store.names("test")[:4]:
        (store.place(name) / "verification.json").unlink()
    monkeypatch.setattr(index, "glances", lambda *_: lie)
    keep, before = Keep(last=1, daily=0, weekly=0, monthly=0), store.names("test")
    assert len(prune.shown(store, "test", keep)[0].doomed) == 4
    prune.apply(store, "test", keep, Quiet(silent=True))
    assert store.names("test") == before
