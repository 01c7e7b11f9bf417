"""The floor: as many clients as a backup has, copying the same tables to nowhere."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from helpers import postgres
from helpers.clients import wheel_bin

SCRIPTS = 100
"""Small tables that share a client, as they do in a backup."""


def main(url: str, jobs: int) -> None:
    """Copy every table, the largest first; small ones share a client."""
    with postgres.connect(postgres.parameters(url)) as session:
        tables = [table for table in session.tables() if not table.parent]
        sizes = session.sizes(tables)
    ordered = sorted(tables, key=lambda table: -sizes[table.oid])
    names = [f'"{table.schema}"."{table.name}"' for table in ordered]
    large = [
        [name] for name, table in zip(names, ordered, strict=True) if sizes[table.oid] > 1 << 20
    ]
    small = names[len(large) :]
    shares = large + [small[start : start + SCRIPTS] for start in range(0, len(small), SCRIPTS)]

    def copy(share: list[str]) -> None:
        commands = [f"--command=COPY {name} TO STDOUT (FORMAT binary)" for name in share]
        argv = [f"{wheel_bin()}/psql", "--no-psqlrc", "--quiet", *commands, url]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(copy, shares))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
