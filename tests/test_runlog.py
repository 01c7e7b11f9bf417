"""The log of runs: one line each, found again after rotation, its owner's alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helpers import audience, ping, runlog


def record(code: int, verb: str = "backup", environment: str = "prod") -> dict[str, object]:
    return {"verb": verb, "environment": environment, "exit_code": code}


def test_the_last_record_is_that_of_the_same_verb_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    assert runlog.last(file, "backup", "prod") is None
    for found in (record(3), record(0, "prune"), record(4, environment="dev")):
        runlog.append(file, found)
    assert runlog.last(file, "backup", "prod") == record(3)
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_last_record_is_found_after_a_rotation(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    runlog.append(file, record(3))
    file.rename(tmp_path / "runs.jsonl.1")
    file.touch()
    assert runlog.last(file, "backup", "prod") == record(3)
    runlog.append(file, record(0))
    assert runlog.last(file, "backup", "prod") == record(0)


def test_what_a_killed_run_left_of_its_line_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text('{"verb": "backup", "envir')
    runlog.append(file, record(0))
    assert runlog.last(file, "backup", "prod") == record(0)
    file.write_bytes(b"\xff\x00\n[1]\nnull\n")
    assert runlog.last(file, "backup", "prod") is None


def test_a_log_that_nobody_rotates_does_not_grow_for_ever(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text((json.dumps(record(3)) + "\n") * 40_000)
    runlog.append(file, record(5))
    assert not file.exists()
    assert runlog.last(file, "backup", "prod") == record(5)
    runlog.append(file, record(0))
    assert len(file.read_text().splitlines()) == 1


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        runlog.append(tmp_path / "runs.jsonl", record(0))
    assert not (tmp_path / "elsewhere").exists()


def test_a_record_is_one_line_whatever_it_holds() -> None:
    said = runlog.line({"what": "a\nb\x1b[31m\u2028c"})
    assert said.isprintable()
    assert json.loads(said) == {"what": "a\nb\x1b[31m\u2028c"}


@pytest.mark.parametrize(
    ("url", "moment", "address"),
    [
        ("https://hc/abc", "success", "https://hc/abc"),
        ("https://hc/abc", "start", "https://hc/abc/start"),
        ("https://hc/abc/", "fail", "https://hc/abc/fail"),
        ("https://hc/abc?rid=1", "fail", "https://hc/abc/fail?rid=1"),
    ],
)
def test_a_ping_goes_where_healthchecks_wants_it(
    url: str, moment: ping.Moment, address: str
) -> None:
    assert ping.address(url, moment) == address


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("json://a", 1),
        ("json://a,json://b", 2),
        ("json://a json://b ,  slack://c", 3),
        ("mailto://a?to=x@y.z,w@y.z", 1),
        ("mailto://a?to=x@y.z,w@y.z, json://b?x=http://c", 2),
    ],
)
def test_urls_are_told_apart_by_where_one_begins(text: str, count: int) -> None:
    found = audience.sound({"urls": text})
    assert len(found.urls) == count
    assert "x@y.z" not in repr(found)


def test_what_is_wrong_does_not_hide_what_is_right() -> None:
    found = audience.sound({"urls": "json://a", "events": "never", "timeout": "0", "ping": "x"})
    assert len(found.urls) == 1
    assert (found.events, found.timeout, found.ping) == (audience.DEFAULT_EVENTS, 10, None)
