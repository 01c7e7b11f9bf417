"""Measure backup and verify side by side with pg_dump, in one run, as ratios of medians."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from helpers import postgres, sampledata
from helpers.clients import wheel_bin
from helpers.scratch import ScratchServer

from .measuring import Measured, measure

PROJECT = Path(__file__).resolve().parents[2]
PLACE = PROJECT / ".bench"
REPORT = PROJECT / "docs" / "performance.md"
MARK = "<!-- what follows is written by make bench -->\n"
BACKUP = "pgbackup backup"
JOBS = str(min(4, os.cpu_count() or 1))


@dataclass(frozen=True)
class Contender:
    """A way to back up (or check) the database; `run` gets a place that does not exist yet."""

    name: str
    run: Callable[[Path], Measured]


def main() -> None:
    """Measure what the arguments ask for, print the report, and keep it with --write."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=["vector", "narrow"])
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    with ScratchServer(PLACE / "server", bound=True, settings={"max_wal_size": "4GB"}) as server:
        sections = [
            _section(server, variant, asked.megabytes, asked.rounds) for variant in asked.variants
        ]
    report = "\n".join([_heading(asked), *sections])
    print(report)
    if asked.write:
        kept = REPORT.read_text(encoding="utf-8").partition(MARK)[0]
        REPORT.write_text(f"{kept}{MARK}\n{report}", encoding="utf-8")


def _section(server: ScratchServer, variant: str, megabytes: int, rounds: int) -> str:
    """One variant's table: the contenders take turns, so that the machine's moods hit all."""
    database = f"bench_{variant}"
    size = _make(server, database, variant, megabytes)
    contenders = _contenders(server.url(database))
    runs: dict[str, list[Measured]] = {contender.name: [] for contender in contenders}
    sizes: dict[str, int] = {}
    for number in range(rounds):
        for contender in contenders:
            place = PLACE / "out" / f"{number}-{contender.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            runs[contender.name].append(contender.run(place))
            sizes[contender.name] = _size(place) or sizes.get(contender.name, 0)
    shutil.rmtree(PLACE / "out")
    heading = f"### {variant}, {size / 1e6:,.0f} MB on the server\n\n"
    return heading + _table(runs, sizes) + _flat(server, variant, megabytes)


def _flat(server: ScratchServer, variant: str, megabytes: int) -> str:
    """The peak memory of a backup of a quarter of the size, to hold against the whole's."""
    database = f"quarter_{variant}"
    size = _make(server, database, variant, megabytes // 4)
    backup = next(c for c in _contenders(server.url(database)) if c.name == BACKUP)
    place = PLACE / "quarter"
    found = backup.run(place)
    shutil.rmtree(place)
    return (
        f"\nPeak memory of {BACKUP} with a quarter of it, {size / 1e6:,.0f} MB: "
        f"{found.memory / 1e6:,.0f} MB.\n"
    )


def _make(server: ScratchServer, database: str, variant: str, megabytes: int) -> int:
    with postgres.connect(postgres.parameters(server.url())) as session:
        session.execute(f"CREATE DATABASE {database}")
    with postgres.connect(postgres.parameters(server.url(database))) as session:
        session.execute("SET search_path = public")
        session.execute(sampledata.bench_statements(variant, megabytes))
        session.execute("VACUUM ANALYZE")
        session.execute("CHECKPOINT")
        return session.facts().size


def _contenders(url: str) -> list[Contender]:
    pg_dump = f"{wheel_bin()}/pg_dump"
    last: list[Path] = []

    def backup(place: Path) -> Measured:
        place.mkdir()
        found = measure(_verb("backup", "--env", "bench", "--dest", str(place)), _env(url))
        last.append(next(path for path in place.iterdir() if path.is_dir()))
        return found

    def verify(_place: Path) -> Measured:
        return measure(_verb("verify", "--file", str(last[-1])), _env(url))

    def dump(*options: str) -> Callable[[Path], Measured]:
        return lambda place: measure([pg_dump, *options, "-f", str(place), url], {})

    return [
        Contender("pg_dump -Fc", dump("-Fc")),
        Contender(f"pg_dump -Fd -j{JOBS} -Z1", dump("-Fd", f"-j{JOBS}", "-Z1")),
        Contender(BACKUP, backup),
        Contender("pgbackup verify", verify),
    ]


def _verb(*words: str) -> list[str]:
    return [sys.executable, "-m", "helpers", *words, "--quiet"]


def _env(url: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "BACKUP_JOBS": JOBS, "PYTHONPATH": str(PROJECT)}


def _size(place: Path) -> int:
    if place.is_file():
        return place.stat().st_size
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _table(runs: dict[str, list[Measured]], sizes: dict[str, int]) -> str:
    reference = _median(found.seconds for found in runs["pg_dump -Fc"])
    lines = [
        "| | seconds | times as fast as pg_dump -Fc | processor seconds | peak memory | size |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, found in runs.items():
        seconds = _median(one.seconds for one in found)
        lines.append(
            f"| {name} | {seconds:.2f} | {reference / seconds:.1f} | "
            f"{_median(one.cpu for one in found):.2f} | "
            f"{max(one.memory for one in found) / 1e6:,.0f} MB | "
            f"{f'{sizes[name] / 1e6:,.0f} MB' if sizes[name] else ''} |"
        )
    return "\n".join(lines) + "\n"


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _heading(asked: argparse.Namespace) -> str:
    return (
        f"## Measured {datetime.now(UTC):%Y-%m-%d}\n\n"
        f"`make bench SIZE={asked.megabytes} ROUNDS={asked.rounds}` on {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}, medians of {asked.rounds} "
        "rounds in which the contenders take turns. Seconds differ from machine to machine; "
        "the ratios are what to look at.\n"
    )


if __name__ == "__main__":
    main()
