"""Who wants to know how runs went hears of it, by HTTP and mail; nobody who listens can do harm."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ..receivers import Web, free_port, mail, web
from ..running import SECRET, Ran, environment, pgbackup, start
from ..servers import Database

TOKEN = "t0ken-Xyzzy"


@pytest.fixture
def receiver() -> Iterator[Web]:
    """A web server that takes notifications and pings."""
    with web() as running:
        yield running


@pytest.fixture
def env(small: Database, store: Path, receiver: Web) -> dict[str, str]:
    """An environment whose failures go to `receiver` as JSON."""
    return environment(small.url, store, NOTIFY_URLS=told_at(receiver.port))


def told_at(port: int) -> str:
    return f"json://127.0.0.1:{port}/{TOKEN}"


def broken(env: dict[str, str]) -> dict[str, str]:
    """The same where nobody listens for the database, with a password that nobody may hear."""
    name = urlsplit(env["DATABASE_URL"]).path
    return env | {"DATABASE_URL": f"postgresql://app:{SECRET}@127.0.0.1:{free_port()}{name}"}


def backup(env: dict[str, str], cwd: Path, *words: str, code: int = 0) -> Ran:
    """One backup; no secret may show in anything that it says."""
    ran = pgbackup("backup", *words, env=env, cwd=cwd)
    assert ran.code == code, ran.said
    assert TOKEN not in ran.said
    assert SECRET not in ran.said
    return ran


def records(store: Path) -> list[dict[str, object]]:
    text = (store / ".runs-test.jsonl").read_text()
    assert TOKEN not in text
    assert SECRET not in text
    return [json.loads(line) for line in text.splitlines()]


def test_a_failure_says_what_where_what_to_do_and_what_is_left(
    env: dict[str, str], store: Path, tmp_path: Path, receiver: Web, small: Database
) -> None:
    good = str(backup(env, tmp_path, "--json").json["backup"]["name"])
    assert receiver.received == []
    backup(broken(env), tmp_path, code=3)
    (message,) = receiver.messages
    assert message["type"] == "failure"
    assert message["title"] == f"test: backup of {small.name} FAILED"
    body = message["message"]
    assert "What happened: " in body
    assert "What to do: " in body
    assert f"Newest good backup: {good}, 0 minutes old" in body
    assert "Environment: test" in body
    assert f"Database: {small.name}" in body
    assert "exit code 3" in body
    assert SECRET not in json.dumps(message)
    assert [(r["outcome"], r["exit_code"], r["untold"]) for r in records(store)] == [
        ("done", 0, []),
        ("failed", 3, []),
    ]


def test_recovery_is_told_once_and_success_only_when_asked_for(
    env: dict[str, str], tmp_path: Path, receiver: Web
) -> None:
    backup(broken(env), tmp_path, code=3)
    for _ in range(2):
        backup(env, tmp_path)
    assert [m["type"] for m in receiver.messages] == ["failure", "success"]
    assert "works again" in receiver.messages[1]["title"]
    backup(env | {"NOTIFY_ON": "success"}, tmp_path)
    assert "is done" in receiver.messages[2]["title"]
    backup(broken(env) | {"NOTIFY_ON": "success"}, tmp_path, code=3)
    assert len(receiver.messages) == 3


def test_mail_arrives_at_a_real_server(env: dict[str, str], tmp_path: Path) -> None:
    with mail() as server:
        url = f"mailto://backup:{TOKEN}@127.0.0.1:{server.port}?smtp=127.0.0.1&mode=insecure"
        backup(
            broken(env) | {"NOTIFY_URLS": f"{url}&from=backup@example.com&to=ops@example.com"},
            tmp_path,
            code=3,
        )
    # The server knows no such login, as a server of its kind should not.
    assert server.letters == []
    with mail() as server:
        url = f"mailto://127.0.0.1:{server.port}/?smtp=127.0.0.1&mode=insecure"
        both = f"{url}&from=backup@example.com&to=ops@example.com,dba@example.com"
        backup(broken(env) | {"NOTIFY_URLS": both}, tmp_path, code=3)
    assert {letter["To"] for letter in server.letters} == {"ops@example.com", "dba@example.com"}
    letter = server.letters[0]
    assert letter["Subject"].startswith("test: backup of ")
    assert "What to do: " in letter.as_string()
    assert SECRET not in letter.as_string()


def test_a_suspect_backup_is_a_warning(
    env: dict[str, str], tmp_path: Path, receiver: Web, small: Database, store: Path
) -> None:
    backup(env, tmp_path)
    small.execute("DELETE FROM notes WHERE id > 10")
    backup(env, tmp_path, code=8)
    (message,) = receiver.messages
    assert message["type"] == "warning"
    assert "is suspect" in message["title"]
    assert "as if data were lost" in message["message"]
    assert "accept --file" in message["message"]
    assert records(store)[-1]["outcome"] == "suspect"


@pytest.mark.parametrize(
    "wrong",
    [
        {"BACKUP_JOBS": "many"},
        {"BACKUP_UNKNOWN": "1"},
        {"NOTIFY_ON": "never"},
        {"PING_URL": f"ftp://{TOKEN}"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_settings_that_do_not_hold_are_told_as_far_as_they_can_be_read(
    env: dict[str, str], tmp_path: Path, receiver: Web, store: Path, wrong: dict[str, str]
) -> None:
    ran = backup(env | wrong, tmp_path, code=2)
    assert next(iter(wrong)) in ran.err
    (message,) = receiver.messages
    assert next(iter(wrong)) in message["message"]
    assert TOKEN not in message["message"]
    assert records(store)[-1]["exit_code"] == 2


def test_an_environment_that_nobody_knows_leaves_no_log_and_no_second_complaint(
    env: dict[str, str], tmp_path: Path, receiver: Web
) -> None:
    del env["BACKUP_ENV"], env["BACKUP_DIR"]
    (tmp_path / "backups").mkdir()
    ran = backup(env, tmp_path, code=2)
    assert "Warning" not in ran.err
    assert list((tmp_path / "backups").iterdir()) == []
    assert receiver.messages[0]["title"] == "unknown environment: backup FAILED"
    ran = backup(env | {"BACKUP_ENV": "other", "BACKUP_JOBS": "many"}, tmp_path, code=2)
    assert "Warning" not in ran.err


def test_notification_urls_that_are_none_are_refused_without_showing_them(
    env: dict[str, str], tmp_path: Path
) -> None:
    ran = backup(env | {"NOTIFY_URLS": TOKEN}, tmp_path, code=2)
    assert "NOTIFY_URLS: Each should be a URL of Apprise" in ran.err


def test_a_run_that_is_interrupted_is_told(
    env: dict[str, str], tmp_path: Path, receiver: Web, small: Database
) -> None:
    urls = env | {"PING_URL": f"http://127.0.0.1:{receiver.port}/{TOKEN}"}
    with small.connect() as other:
        other.execute("BEGIN; LOCK notes")
        running = start("backup", env=urls, cwd=tmp_path)
        try:
            deadline = time.monotonic() + 20
            while not receiver.received or not small.query(
                "SELECT FROM pg_locks WHERE NOT granted"
            ):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            running.send_signal(signal.SIGTERM)
            _, err = running.communicate(timeout=30)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 143, err
    assert any("was interrupted" in message["title"] for message in receiver.messages)
    assert f"POST /{TOKEN}/fail" in receiver.paths


def test_pings_mark_start_success_and_failure_with_the_reasons(
    env: dict[str, str], tmp_path: Path, receiver: Web
) -> None:
    del env["NOTIFY_URLS"]
    env["PING_URL"] = f"http://127.0.0.1:{receiver.port}/{TOKEN}?rid=1"
    backup(env, tmp_path)
    backup(broken(env), tmp_path, code=3)
    assert receiver.paths == [
        f"GET /{TOKEN}/start?rid=1",
        f"POST /{TOKEN}?rid=1",
        f"GET /{TOKEN}/start?rid=1",
        f"POST /{TOKEN}/fail?rid=1",
    ]
    assert "dump: 1 tables" in receiver.received[1].body
    assert "What to do: " in receiver.received[3].body
    assert SECRET not in receiver.received[3].body


def test_other_verbs_do_not_ping(env: dict[str, str], tmp_path: Path, receiver: Web) -> None:
    env["PING_URL"] = f"http://127.0.0.1:{receiver.port}/{TOKEN}"
    backup(env, tmp_path, "--dry-run")
    assert pgbackup("prune", "--apply", env=env, cwd=tmp_path).code == 0
    assert receiver.received == []


def test_a_drill_that_fails_is_told_and_measured_without_a_ping(
    env: dict[str, str], tmp_path: Path, receiver: Web, store: Path
) -> None:
    env["PING_URL"] = f"http://127.0.0.1:{receiver.port}/{TOKEN}"
    env["BACKUP_METRICS_DIR"] = str(tmp_path)
    name = str(backup(env, tmp_path, "--json").json["backup"]["name"])
    next((store / name).glob("*.dat*")).write_bytes(b"")
    pings = len(receiver.received)
    ran = pgbackup("drill", env=env, cwd=tmp_path)
    assert ran.code == 5, ran.said
    (request,) = receiver.received[pings:]
    assert "drill of" in request.json["title"]
    assert "FAILED" in request.json["title"]
    assert "What happened: " in request.json["message"]
    assert (records(store)[-1]["verb"], records(store)[-1]["exit_code"]) == ("drill", 5)
    assert 'verb="drill"} 5.0' in (tmp_path / "pgbackup_test.prom").read_text()


@pytest.mark.parametrize("ill", ["refuses", "answers 500", "hangs"])
def test_a_receiver_that_is_ill_harms_nothing_and_is_logged(
    env: dict[str, str], store: Path, tmp_path: Path, receiver: Web, ill: str
) -> None:
    port = free_port() if ill == "refuses" else receiver.port
    receiver.status = 500
    receiver.hold = threading.Event() if ill == "hangs" else None
    told = {
        "NOTIFY_URLS": f"{told_at(port)}, {told_at(port)}",
        "NOTIFY_ON": "success",
        "NOTIFY_TIMEOUT": "3",
        "PING_URL": f"http://127.0.0.1:{port}/{TOKEN}",
    }
    began = time.monotonic()
    ran = backup(env | told, tmp_path)
    assert time.monotonic() - began < 90  # the receiver would hold it for ten minutes
    why = {
        "refuses": ("no connection", "it could not be reached, or refused"),
        "answers 500": ("it answered 500", "it answered 500"),
        "hangs": ("no answer in time", "no answer in time"),
    }[ill]
    expected = [
        f"ping at the start: {why[0]}",
        f"ping at the end: {why[0]}",
        f"notification 1 (json): {why[1]}",
        f"notification 2 (json): {why[1]}",
    ]
    assert [line for line in ran.err.splitlines() if "Warning" in line] == [
        f"Warning: {problem}" for problem in expected
    ]
    assert records(store)[-1]["untold"] == expected


def test_a_service_that_is_ill_does_not_hold_up_another(
    env: dict[str, str], tmp_path: Path, receiver: Web
) -> None:
    with web() as ill:
        ill.hold = threading.Event()
        urls = f"{told_at(ill.port)} {told_at(receiver.port)}"
        backup(broken(env) | {"NOTIFY_URLS": urls, "NOTIFY_TIMEOUT": "3"}, tmp_path, code=3)
    assert len(receiver.messages) == 1


def test_a_url_that_apprise_does_not_know_is_a_warning(env: dict[str, str], tmp_path: Path) -> None:
    urls = env | {"NOTIFY_URLS": f"nonsense://{TOKEN}", "NOTIFY_ON": "success"}
    ran = backup(urls, tmp_path)
    assert "notification 1 (nonsense): Apprise knows no such URL" in ran.err
    assert (
        "notification 1 (nonsense): Apprise knows no such URL"
        in backup(urls, tmp_path, "--dry-run").err
    )


def test_what_is_logged_as_json_is_nothing_but_json(
    env: dict[str, str], tmp_path: Path, receiver: Web
) -> None:
    receiver.status = 500
    env["NOTIFY_ON"] = "failure,success"
    lines = [json.loads(line) for line in backup(env, tmp_path, "--log-json").err.splitlines()]
    assert any(str(line.get("note", "")).startswith("dump: ") for line in lines)
    assert lines[-1]["outcome"] == "done"
    assert lines[-1]["rows"] == 100
    assert lines[-1]["untold"] == ["notification 1 (json): it answered 500"]
    failed = backup(broken(env), tmp_path, "--log-json", code=3)
    codes = [json.loads(line).get("exit_code") for line in failed.err.splitlines()]
    assert codes == [3, None]


def test_a_run_leaves_one_record_that_only_its_owner_reads(
    env: dict[str, str], store: Path, tmp_path: Path, small: Database
) -> None:
    file = tmp_path / "logs" / "test.jsonl"
    file.parent.mkdir()
    ran = backup(env | {"BACKUP_LOG": str(file)}, tmp_path, "--json")
    (line,) = file.read_text().splitlines()
    record = json.loads(line)
    assert file.stat().st_mode & 0o777 == 0o600
    assert record["backup"] == ran.json["backup"]["name"]
    assert record["bytes"] == ran.json["backup"]["file_bytes"]
    assert record["rows"] == 100
    assert (record["verb"], record["environment"]) == ("backup", "test")
    assert (record["database"], record["outcome"]) == (small.name, "done")
    assert not (store / ".runs-test.jsonl").exists()


def test_a_log_that_cannot_be_written_is_a_warning(env: dict[str, str], tmp_path: Path) -> None:
    ran = backup(env | {"BACKUP_LOG": str(tmp_path / "missing" / "log")}, tmp_path)
    assert "Warning: run log: " in ran.err


def test_a_test_message_and_ping_are_said_to_have_arrived(
    env: dict[str, str], tmp_path: Path, receiver: Web, small: Database, store: Path
) -> None:
    env["PING_URL"] = f"http://127.0.0.1:{receiver.port}/{TOKEN}?rid=1"
    ran = pgbackup("notify", env=env, cwd=tmp_path)
    assert (ran.code, ran.err) == (0, ""), ran.said
    assert ran.out == "notification 1 (json): took it\nping: took it\n"
    (message,) = receiver.messages
    assert (message["type"], message["title"]) == ("info", "test: a test message of pgbackup")
    for said in ("only a test", "Newest good backup: none", f"Database: {small.name}", "Host: "):
        assert said in message["message"]
    # Neither a start nor a success: nobody may take it for a backup.
    assert [path for path in receiver.paths if "?" in path] == [f"POST /{TOKEN}/log?rid=1"]
    assert list(store.iterdir()) == []


def test_a_test_message_says_of_each_service_why_it_did_not_arrive(
    env: dict[str, str], tmp_path: Path, receiver: Web
) -> None:
    urls = (told_at(receiver.port), told_at(free_port()), f"nonsense://{TOKEN}")
    env |= {"NOTIFY_URLS": " ".join(urls), "PING_URL": f"http://127.0.0.1:{free_port()}/{TOKEN}"}
    ran = pgbackup("notify", "--json", env=env, cwd=tmp_path)
    assert ran.code == 2, ran.said
    assert [(told["name"], told["problem"]) for told in ran.json["told"]] == [
        ("notification 1 (json)", None),
        ("notification 2 (json)", "it could not be reached, or refused"),
        ("notification 3 (nonsense)", "Apprise knows no such URL"),
        ("ping", "no connection"),
    ]
    assert TOKEN not in ran.said
    assert len(receiver.messages) == 1


def test_who_names_nobody_to_tell_hears_that(env: dict[str, str], tmp_path: Path) -> None:
    del env["NOTIFY_URLS"]
    ran = pgbackup("notify", env=env, cwd=tmp_path)
    assert ran.code == 2
    assert "Nobody is told how runs of test go." in ran.err
