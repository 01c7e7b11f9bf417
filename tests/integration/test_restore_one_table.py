"""One table out of a backup: whole, beside what is there, or not at all."""

from __future__ import annotations

import re
import signal
import subprocess

import pytest

from ..comparing import same, same_data
from ..servers import Database
from .disturbing import begun, ended, soon, take
from .restoring import Restoring, sleeping, slow

EVENTS = """
CREATE TABLE app.events (
    id int GENERATED ALWAYS AS IDENTITY,
    day date NOT NULL,
    conversation int REFERENCES app.conversations,
    body text CHECK (body <> ''),
    PRIMARY KEY (id, day, conversation)
) PARTITION BY RANGE (day);
CREATE TABLE app.events_old PARTITION OF app.events
    FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (conversation);
CREATE TABLE app.events_old_some PARTITION OF app.events_old FOR VALUES IN (1, 2, 3);
CREATE TABLE app.events_old_rest PARTITION OF app.events_old DEFAULT;
CREATE TABLE app.events_new PARTITION OF app.events DEFAULT;
CREATE INDEX events_body ON app.events (body);
CREATE INDEX events_new_own ON app.events_new (day, body);
ALTER TABLE app.events_new ADD CONSTRAINT recent CHECK (day >= '2026-01-01');
COMMENT ON COLUMN app.events.body IS 'what happened';
INSERT INTO app.events (day, conversation, body)
    SELECT '2025-12-01'::date + n, 1 + n % 50, 'event ' || n FROM generate_series(1, 200) AS n;
"""


def test_one_table_comes_back_whole_and_is_never_overwritten(chat: Restoring) -> None:
    assert chat.run().code == 0
    chat.target().execute("DELETE FROM app.messages; UPDATE app.conversations SET title = 'new'")
    ran = chat.run("--only-table=app.messages")
    assert ran.code == 8
    assert "is there already" in ran.err
    assert chat.counts(chat.target()) == [(50, 0)]
    chat.target().execute("DROP TABLE app.messages")
    ran = chat.run("--only-table=messages")
    assert ran.code == 0, ran.said
    assert chat.counts(chat.target()) == [(50, 2000)]
    assert chat.target().query("SELECT DISTINCT title FROM app.conversations") == [("new",)]
    assert chat.target().query("SELECT count(*) FROM pg_indexes WHERE tablename = 'messages'") == [
        (2,)
    ]
    assert chat.target().query(
        "SELECT count(*) FROM pg_constraint WHERE conrelid = 'app.messages'::regclass "
        "AND contype = 'f'"
    ) == [(1,)]


def test_one_table_that_does_not_fit_leaves_nothing(chat: Restoring) -> None:
    assert chat.run().code == 0
    chat.target().execute("DROP TABLE app.messages; DELETE FROM app.conversations WHERE id = 7")
    ran = chat.run("--only-table=app.messages")
    assert ran.code == 9, ran.said
    assert "messages_conversation_fkey" in ran.err
    assert chat.target().query("SELECT to_regclass('app.messages')") == [(None,)]


def dumped(database: Database, tables: str) -> list[str]:
    """What pg_dump says of tables, rows included, but for what they are partitions of."""
    argv = [f"{database.server.bin_dir}/pg_dump", f"--dbname={database.url}", f"--table={tables}"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    left_out = re.compile(r"--|\\(un)?restrict |$|ALTER (TABLE ONLY|INDEX) .* ATTACH PARTITION ")
    return [line for line in done.stdout.splitlines() if not left_out.match(line)]


PARTITIONING = pytest.mark.parametrize("any_server", [18, 15], indirect=True, scope="session")
"""For 16 there is only a pg_restore of 18 here, whose first words would end the transaction."""


@PARTITIONING
def test_a_partitioned_table_comes_back_with_all_its_partitions(any_chat: Restoring) -> None:
    any_chat.source.execute(EVENTS)
    any_chat.name = take(any_chat.env, any_chat.cwd)
    assert any_chat.run().code == 0
    target = any_chat.target()
    target.execute("DROP TABLE app.events")
    ran = any_chat.run("--only-table=app.events")
    assert ran.code == 0, ran.said
    same(any_chat.source, target)
    assert target.query(
        "INSERT INTO app.events (day, conversation) VALUES ('2026-05-01', 1) RETURNING id"
    ) == [(201,)]


@PARTITIONING
def test_one_partition_comes_back_as_a_table_of_its_own(any_chat: Restoring) -> None:
    any_chat.source.execute(EVENTS)
    any_chat.name = take(any_chat.env, any_chat.cwd)
    assert any_chat.run().code == 0
    target = any_chat.target()
    target.execute("DROP TABLE app.events_new")
    ran = any_chat.run("--only-table=app.events_new")
    assert ran.code == 0, ran.said
    wanted = dumped(any_chat.source, "app.events_new")
    for part in ("recent", "events_new_own", "events_new_body_idx", "events_new_pkey", "COPY"):
        assert part in "".join(wanted)
    assert dumped(target, "app.events_new") == wanted
    target.execute("ALTER TABLE app.events ATTACH PARTITION app.events_new DEFAULT")
    same_data(any_chat.source, target)


def test_a_partition_that_has_partitions_comes_back_with_them(chat: Restoring) -> None:
    chat.source.execute(EVENTS)
    chat.name = take(chat.env, chat.cwd)
    assert chat.run().code == 0
    target = chat.target()
    target.execute("DROP TABLE app.events_old")
    ran = chat.run("--only-table=events_old")
    assert ran.code == 0, ran.said
    assert dumped(target, "app.events_old*") == dumped(chat.source, "app.events_old*")
    values = "FROM ('2025-01-01') TO ('2026-01-01')"
    target.execute(f"ALTER TABLE app.events ATTACH PARTITION app.events_old FOR VALUES {values}")
    same_data(chat.source, target)


def test_an_interruption_leaves_no_part_of_a_table(chat: Restoring) -> None:
    slow(chat, 10)
    assert chat.run("--schema-only").code == 0
    chat.target().execute("DROP TABLE app.few")
    words = (f"--file={chat.name}", f"--to={chat.place('target')}", "--only-table=app.few")
    with begun("restore", *words, env=chat.env, cwd=chat.cwd) as process:
        soon(lambda: sleeping(chat.server), "pg_restore in the middle")
        process.send_signal(signal.SIGINT)
        ran = ended(process, chat.cwd)
    assert ran.code == 130, ran.said
    assert f"app.few is in {chat.place('target')} whole, or not at all" in ran.err
    assert chat.target().query("SELECT to_regclass('app.few')") == [(None,)]
