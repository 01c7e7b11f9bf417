"""Measure backup, verify and restore beside pg_dump's, in one run, as ratios of medians."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
from collections.abc import Iterable
from datetime import UTC, datetime

from helpers import postgres
from helpers.scratch import ScratchServer

from . import databases, load
from .contenders import BACKUP, CUSTOM, DIRECTORY, PROJECT, RESTORE, VERIFY, Contest
from .measuring import Measured

PLACE = PROJECT / ".bench"
REPORT = PROJECT / "docs" / "performance.md"
MARK = "<!-- what follows is written by make bench -->\n"


def main() -> None:
    """Measure what the arguments ask for, print the report, and keep it with --write."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variants", nargs="+", default=list(databases.VARIANTS))
    parser.add_argument("--ours", action="store_true", help="leave out what we compare with")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    sections = [
        _section(variant, asked.megabytes, asked.rounds, ours=asked.ours)
        for variant in asked.variants
    ]
    report = "\n".join([_heading(asked), *sections])
    print(report)
    if asked.write:
        kept = REPORT.read_text(encoding="utf-8").partition(MARK)[0]
        REPORT.write_text(f"{kept}{MARK}\n{report}", encoding="utf-8")


def _section(variant: str, megabytes: int, rounds: int, *, ours: bool) -> str:
    """One variant's table, on a server of its own; the contenders take turns."""
    settings = {
        "max_wal_size": "8GB",
        "max_locks_per_transaction": "256",
        "shared_buffers": "512MB",
    }
    with ScratchServer(PLACE / "server", bound=True, settings=settings) as server:
        size = _make(server, variant, variant, megabytes)
        contest = Contest(server, variant, PLACE / "out")
        runs: dict[str, list[Measured]] = {}
        for _ in range(rounds):
            for name, run in contest.contenders().items():
                if not ours or BACKUP in name or name == VERIFY:
                    runs.setdefault(name, []).append(run())
        heading = f"### {variant}: {databases.VARIANTS[variant]}, {size / 1e6:,.0f} MB\n\n"
        report = heading + _table(runs, contest)
        if variant == "vector" and not ours:
            report += _flat(server, megabytes) + _load(server, contest)
        shutil.rmtree(PLACE / "out")
    return report


def _make(server: ScratchServer, database: str, variant: str, megabytes: int) -> int:
    with postgres.connect(postgres.parameters(server.url())) as session:
        session.execute(f"CREATE DATABASE {database}")
    with postgres.connect(postgres.parameters(server.url(database))) as session:
        session.execute("SET search_path = public")
        session.execute(databases.statements(variant, megabytes))
        session.execute("VACUUM ANALYZE")
        session.execute("CHECKPOINT")
        return session.facts().size


def _flat(server: ScratchServer, megabytes: int) -> str:
    """The peak memory of a backup of a quarter of the size, to hold against the whole's."""
    size = _make(server, "quarter", "vector", megabytes // 4)
    found = Contest(server, "quarter", PLACE / "out" / "quarter").backup()
    return (
        f"\nPeak memory of {BACKUP} with a quarter of it, {size / 1e6:,.0f} MB: "
        f"{found.memory / 1e6:,.0f} MB.\n"
    )


def _load(server: ScratchServer, contest: Contest) -> str:
    """What the server still answers meanwhile."""
    alone = load.kept(server, None, 5)
    shares = {
        name: load.kept(server, contest.contenders()[name], 0) / alone
        for name in (CUSTOM, DIRECTORY, BACKUP)
    }
    said = ", ".join(f"{share:.0%} during {name}" for name, share in shares.items())
    return f"\nOf the queries a second that pgbench -S gets alone, it keeps {said}.\n"


def _table(runs: dict[str, list[Measured]], contest: Contest) -> str:
    reference = {
        restoring: _median(found.seconds for found in runs[name]) if name in runs else None
        for restoring, name in ((False, CUSTOM), (True, RESTORE + DIRECTORY))
    }
    lines = [
        "| | seconds | times as fast | processor: ours | the server's | peak memory | size |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, found in runs.items():
        seconds = _median(one.seconds for one in found)
        size = contest.size(name)
        beside = reference[name.startswith(RESTORE)]
        times = f"{beside / seconds:.1f}" if beside else ""
        lines.append(
            f"| {name} | {seconds:.2f} | {times} | {_median(one.cpu for one in found):.2f} | "
            f"{_median(one.server_cpu for one in found):.2f} | "
            f"{max(one.memory for one in found) / 1e6:,.0f} MB | "
            f"{f'{size / 1e6:,.0f} MB' if size else ''} |"
        )
    return "\n".join(lines) + "\n"


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _command(asked: argparse.Namespace) -> str:
    words = ["make bench", f"SIZE={asked.megabytes}", f"ROUNDS={asked.rounds}"]
    if asked.variants != list(databases.VARIANTS):
        words.append(f"ONLY='{' '.join(asked.variants)}'")
    return " ".join([*words, *(["OURS=1"] if asked.ours else [])])


def _heading(asked: argparse.Namespace) -> str:
    return (
        f"## Measured {datetime.now(UTC):%Y-%m-%d}\n\n"
        f"`{_command(asked)}` on {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}, medians of {asked.rounds} "
        "rounds in which the contenders take turns. *Times as fast* is beside pg_dump -Fc, for "
        "restores beside that of pg_dump -Fd. Seconds differ from machine to machine; the ratios "
        "are what to look at.\n"
    )


if __name__ == "__main__":
    main()
