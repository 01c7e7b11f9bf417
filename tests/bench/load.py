"""What a database still answers while it is backed up: transactions that pgbench gets through."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from helpers import postgres
from helpers.clients import wheel_bin
from helpers.scratch import ScratchServer

from .measuring import Measured

_SCALE = "5"


@contextmanager
def _pgbench(server: ScratchServer, database: str) -> Iterator[None]:
    """Two clients that read single rows as fast as they are answered."""
    process = subprocess.Popen(
        [f"{wheel_bin()}/pgbench", "-S", "-c2", "-T3600", server.url(database)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def kept(server: ScratchServer, run: Callable[[], Measured] | None, seconds: float) -> float:
    """Transactions a second while `run` runs, or for so many seconds if there is none."""
    database = "bench_load"
    with postgres.connect(postgres.parameters(server.url())) as session:
        if not session.query("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", database):
            session.execute(f"CREATE DATABASE {database}")
            argv = [f"{wheel_bin()}/pgbench", "-iq", f"-s{_SCALE}", server.url(database)]
            subprocess.run(argv, check=True, capture_output=True)

        def committed() -> int:
            sql = "SELECT xact_commit FROM pg_catalog.pg_stat_database WHERE datname = %s"
            return int(session.query(sql, database)[0][0])

        with _pgbench(server, database):
            time.sleep(1)
            before, started = committed(), time.perf_counter()
            if run:
                run()
            else:
                time.sleep(seconds)
            return (committed() - before) / (time.perf_counter() - started)
