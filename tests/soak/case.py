"""A small database whose contents always add up, and writers that never let it rest."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

SCHEMA = """
CREATE TABLE accounts (id int PRIMARY KEY, opening bigint NOT NULL, balance bigint NOT NULL);
INSERT INTO accounts SELECT n, 1000, 1000 FROM generate_series(1, 50) AS n;
CREATE TABLE transfers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  payer int NOT NULL REFERENCES accounts, payee int NOT NULL REFERENCES accounts, amount bigint);
CREATE TABLE receipts (transfer bigint NOT NULL UNIQUE REFERENCES transfers ON DELETE CASCADE,
  body text NOT NULL);
CREATE TABLE refilled AS SELECT generate_series(1, 50) AS n;
CREATE TABLE retyped AS SELECT generate_series(1, 50) AS n;
CREATE TABLE heads AS SELECT 'one' AS side;
CREATE TABLE tails AS SELECT 'other' AS side;
CREATE TABLE coin AS SELECT 'one' AS up;
CREATE TABLE made (number int PRIMARY KEY);
"""

WRITES = (
    """WITH pair AS MATERIALIZED (
         SELECT 1 + (random() * 48)::int AS payer, (random() * 9)::int AS amount),
       paid AS (
         INSERT INTO transfers (payer, payee, amount)
         SELECT payer, payer + 1, amount FROM pair RETURNING *),
       written AS (
         INSERT INTO receipts SELECT id, repeat(md5(id::text), 1 + (id % 40)::int) FROM paid)
       UPDATE accounts
       SET balance = balance + CASE accounts.id WHEN payer THEN -amount ELSE amount END
       FROM paid WHERE accounts.id IN (payer, payee)""",
    """WITH gone AS (
         DELETE FROM transfers WHERE id < (SELECT max(id) - 300 FROM transfers) RETURNING *),
       moved AS (
         SELECT account, sum(amount) AS amount FROM (
           SELECT payee AS account, amount FROM gone
           UNION ALL SELECT payer, -amount FROM gone) AS sides GROUP BY account)
       UPDATE accounts SET opening = opening + amount FROM moved WHERE id = account""",
)
"""Each is one transaction, and leaves every account at its opening and what moved since."""

_CHANGES = (
    "TRUNCATE refilled; INSERT INTO refilled SELECT generate_series(1, 50)",
    "DELETE FROM refilled; INSERT INTO refilled SELECT generate_series(1, 50)",
    "ALTER TABLE retyped ALTER n TYPE text",
    "ALTER TABLE retyped ALTER n TYPE bigint USING n::bigint",
    "ALTER TABLE retyped ALTER n TYPE numeric USING n::numeric",
    "ALTER TABLE accounts ADD COLUMN IF NOT EXISTS spare float8 DEFAULT random()",
    "ALTER TABLE accounts DROP COLUMN IF EXISTS spare",
    """ALTER TABLE heads RENAME TO edge; ALTER TABLE tails RENAME TO heads;
       ALTER TABLE edge RENAME TO tails; UPDATE coin SET up = (SELECT side FROM heads)""",
)

CHECKS = {
    "the balances": """SELECT count(*), sum(balance), bool_and(balance = opening
        + coalesce((SELECT sum(amount) FROM transfers WHERE payee = accounts.id), 0)
        - coalesce((SELECT sum(amount) FROM transfers WHERE payer = accounts.id), 0))
        FROM accounts""",
    "the receipts": """SELECT count(*) FROM transfers FULL JOIN receipts ON transfer = id
        WHERE id IS NULL OR body IS DISTINCT FROM repeat(md5(id::text), 1 + (id % 40)::int)""",
    "what was truncated": "SELECT count(*), sum(n) FROM refilled",
    "what was rewritten": "SELECT count(*), sum(n::text::numeric) FROM retyped",
    "what was renamed": "SELECT h.side = up, t.side <> up FROM heads h, tails t, coin",
    "what was made": """SELECT (SELECT array_agg('made_' || number ORDER BY number) FROM made)
        IS NOT DISTINCT FROM (SELECT array_agg(relname::text ORDER BY substr(relname, 6)::int)
          FROM pg_class WHERE relname ~ '^made_' AND relkind = 'r')""",
    "the foreign keys": """SELECT count(*) - 3 - (SELECT count(*) FROM made),
        bool_and(convalidated) FROM pg_constraint WHERE contype = 'f'""",
}

EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "the balances": [(50, 50_000, True)],
    "the receipts": [(0,)],
    "what was truncated": [(50, 1275)],
    "what was rewritten": [(50, 1275)],
    "what was renamed": [(True, True)],
    "what was made": [(True,)],
    "the foreign keys": [(0, True)],
}

_MADE = 5
_PAUSE_SECONDS = 0.01


def wrong(connection: Connection) -> list[str]:
    """What does not add up in a restored database."""
    found = [
        what
        for what, query in CHECKS.items()
        if connection.execute(query.encode()).fetchall() != EXPECTED[what]
    ]
    for (number,) in connection.execute("SELECT number FROM made").fetchall():
        rows = connection.execute(f"SELECT count(*) FROM made_{number}".encode()).fetchall()
        if rows != [(number,)]:
            found.append(f"the rows of made_{number}")
    return found


@contextmanager
def under_fire(url: str, seed: int) -> Iterator[None]:
    """Rows and tables change all the while, each change a transaction of its own.

    Raises what made a writer end early: without writers nothing would be proven.
    """
    over = threading.Event()
    errors: list[BaseException] = []
    jobs: list[Callable[[Connection], None]] = [_writer(statement) for statement in WRITES]
    jobs.append(_changer(random.Random(seed)))

    def work(job: Callable[[Connection], None]) -> None:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                while not over.is_set():
                    job(connection)
                    over.wait(_PAUSE_SECONDS)
        except BaseException as error:  # noqa: BLE001 - a thread has nobody else to tell
            errors.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def _writer(statement: str) -> Callable[[Connection], None]:
    return lambda connection: _try(connection, [statement])


def _changer(chance: random.Random) -> Callable[[Connection], None]:
    """DDL of all kinds; it waits for its locks now not at all, now longer than a backup takes."""

    def change(connection: Connection) -> None:
        number = chance.randint(1, _MADE)
        made = f"""CREATE TABLE made_{number} (account int REFERENCES accounts);
            INSERT INTO made_{number} SELECT generate_series(1, {number});
            INSERT INTO made VALUES ({number})"""
        dropped = f"DROP TABLE made_{number}; DELETE FROM made WHERE number = {number}"
        wait = f"SET lock_timeout = {chance.choice((1, 5, 50, 400))}"
        _try(connection, [wait, chance.choice((*_CHANGES, made, dropped))])

    return change


def _try(connection: Connection, scripts: Sequence[str]) -> None:
    """Run scripts, each in one transaction; what cannot be had just now is done without."""
    try:
        for script in scripts:
            connection.execute(script.encode())
    except (
        psycopg.errors.LockNotAvailable,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.DuplicateTable,
        psycopg.errors.UndefinedTable,
    ):
        pass
