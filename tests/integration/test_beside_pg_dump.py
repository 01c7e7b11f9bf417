"""Each archive of ours beside plain pg_dump's of the same snapshot: both are restored alike."""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from helpers import archive, clients, postgres, toc
from helpers.binary import OLDEST_MAJOR
from helpers.pgdump import Order
from helpers.progress import Quiet

from .. import comparing, every_type
from ..servers import UPGRADES, Database, Server, Servers
from .test_shapes import OBJECTS

SOME = ("generated", "dropped", "bare", "unlogged", "guarded", "h0", "only_generated")
"""Tables that need no other object."""


Way = Callable[[Path, Path], list[list[str]]]
"""The words of each call of pg_restore, by its directory and the archive's."""

STRICT = "--exit-on-error"


class Restored(NamedTuple):
    """What a restore said, and what is in the database then."""

    said: list[tuple[int, list[str]]]
    contents: dict[str, tuple[int, str]]
    sequences: dict[tuple[str, str], tuple[int, bool]]
    states: dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Pair:
    """Two archives of one snapshot; so many tables of ours are `copied` in binary."""

    ours: Path
    plain: Path
    copied: int
    tools: Path

    def restored(self, way: Way, server: Server, tools: Path) -> tuple[Restored, Restored]:
        """What each of the two restores to, in the same way."""
        one, other = (
            self._restored(place, way, server, tools) for place in (self.ours, self.plain)
        )
        return one, other

    def _restored(self, place: Path, way: Way, server: Server, tools: Path) -> Restored:
        with server.database() as target:
            said = []
            for words in way(self.tools, place):
                argv = [f"{tools}/pg_restore", *words, f"--dbname={target.url}", str(place)]
                done = subprocess.run(argv, capture_output=True, text=True)
                said.append((done.returncode, re.findall(r"ERROR: .*", done.stderr)))
            found = comparing.contents(target)
            assert found
            sequences = comparing.sequences(target)
            return Restored(said, found, sequences, comparing.states(target))


def _selected(tools: Path, place: Path) -> list[list[str]]:
    """By a list file that names some tables and their data, in another order."""
    argv = [f"{tools}/pg_restore", "--list", str(place)]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    pattern = re.compile(rf"; \d+ \d+ TABLE (DATA )?public ({'|'.join(SOME)}) ")
    chosen = sorted(
        (line for line in listed if pattern.search(line)),
        key=lambda line: (" TABLE DATA " in line, line.split()[5:]),
    )
    assert len(chosen) == 2 * len(SOME)
    # named by the archive, since each is restored by a call of its own
    file = place.parent / f"{place.name}.list"
    file.write_text("\n".join(chosen) + "\n")
    return [[STRICT, f"--use-list={file}"]]


WAYS: dict[str, Way] = {
    "serial": lambda tools, place: [[STRICT]],
    "parallel": lambda tools, place: [[STRICT, "--jobs=3"]],
    "single transaction": lambda tools, place: [[STRICT, "--single-transaction"]],
    "sections": lambda tools, place: [
        [STRICT, f"--section={part}"] for part in ("pre-data", "data", "post-data")
    ],
    # One constraint is not valid, which keeps a row out of a table that is there already.
    "data only": lambda tools, place: [
        [STRICT, "--schema-only"],
        ["--data-only", "--disable-triggers"],
    ],
    "some tables": lambda tools, place: [[STRICT, *(f"--table={name}" for name in SOME)]],
    "one table's data": lambda tools, place: [
        [STRICT, "--section=pre-data"],
        [STRICT, "--data-only", "--table=dropped"],
    ],
    "list file": _selected,
    "list file, parallel": lambda tools, place: [
        [*words, "--jobs=2"] for words in _selected(tools, place)
    ],
}


def dumped(source: Database, place: Path, afterwards: str, binary_from: int | None = 0) -> Pair:
    """Two archives of one snapshot; `afterwards` is done before either is written."""
    tools = source.server.bin_dir
    ours, plain = place / "ours", place / "plain"
    ours.mkdir(parents=True)
    parameters = postgres.parameters(source.url)
    with postgres.connect(parameters) as session, session.snapshot(10) as (snapshot, tables):
        source.execute(afterwards)
        facts = session.facts()
        client = clients.find(facts.major, tls=False, pg_bin=tools)
        data = [table for table in tables if not table.parent]
        written = archive.write(
            session,
            Order(client, facts, snapshot, 2, 10, "auto"),
            ours,
            data,
            session.sizes(data),
            progress=Quiet(silent=True),
            binary_from=binary_from,
        )
        argv = [f"{tools}/pg_dump", "--format=directory", f"--snapshot={snapshot}"]
        subprocess.run([*argv, f"--file={plain}", source.url], check=True)
    return Pair(ours, plain, len(written.copied), tools)


@pytest.fixture(scope="module")
def shapes(any_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two archives of objects of every kind."""
    with any_server.database() as source:
        source.execute(OBJECTS)
        place = tmp_path_factory.mktemp("shapes") / str(any_server.major)
        yield dumped(source, place, "DELETE FROM dropped; INSERT INTO log VALUES (99)")


@pytest.mark.parametrize("way", WAYS)
def test_in_whatever_way_it_is_restored_nothing_differs(
    shapes: Pair, any_server: Server, way: str
) -> None:
    assert (shapes.copied > 15) == (any_server.major >= OLDEST_MAJOR)
    ours, plain = shapes.restored(WAYS[way], any_server, any_server.bin_dir)
    assert ours == plain
    # Before 14 a partition is attached in its own entry, so h0 cannot come without its parent.
    alone = any_server.major < 14 and way in {"some tables", "list file", "list file, parallel"}
    if way != "data only" and not alone:
        assert {code for code, _ in ours.said} == {0}, ours.said


@pytest.mark.parametrize("way", ["serial", "parallel"])
def test_nothing_differs_on_newer_servers(
    shapes: Pair, any_server: Server, servers: Servers, way: str
) -> None:
    for newer in (servers.get(b) for a, b in UPGRADES if a == any_server.major):
        ours, plain = shapes.restored(WAYS[way], newer, newer.bin_dir)
        assert ours == plain
        assert {code for code, _ in ours.said} == {0}, ours.said


def test_every_table_of_every_type_is_restored_as_plain_pg_dumps(
    any_database: Database, tmp_path: Path
) -> None:
    every_type.create(any_database, xml=every_type.reads_xml(any_database))
    pair = dumped(any_database, tmp_path / "pair", "DELETE FROM types.int4; DELETE FROM types.text")
    server = any_database.server
    assert (pair.copied > 50) == (server.major >= OLDEST_MAJOR)
    ours, plain = pair.restored(WAYS["serial"], server, server.bin_dir)
    assert ours == plain
    now = comparing.contents(any_database)
    assert {name for name, found in ours.contents.items() if found != now[name]} == {
        '"types"."int4"',
        '"types"."text"',
    }


def test_text_is_pg_dumps_own_in_every_byte_and_makes_a_script_that_psql_runs(
    any_database: Database, tmp_path: Path
) -> None:
    any_database.execute(OBJECTS)
    pair = dumped(any_database, tmp_path / "pair", "DELETE FROM dropped", binary_from=None)
    assert pair.copied == 0
    ours, plain = (toc.parse((place / "toc.dat").read_bytes()) for place in (pair.ours, pair.plain))
    assert ours.entries == plain.entries
    files = {path.name for path in pair.ours.iterdir()}
    assert files == {path.name for path in pair.plain.iterdir()}
    for name in files - {"toc.dat"}:
        texts = [_content(place / name) for place in (pair.ours, pair.plain)]
        assert texts[0] == texts[1], name
    script = tmp_path / "script.sql"
    subprocess.run([f"{pair.tools}/pg_restore", f"--file={script}", str(pair.ours)], check=True)
    whole, _ = pair.restored(WAYS["serial"], any_database.server, pair.tools)
    with any_database.server.database() as target:
        argv = [f"{pair.tools}/psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
        done = subprocess.run([*argv, f"--file={script}", target.url], capture_output=True)
        assert done.returncode == 0, done.stderr
        assert comparing.contents(target) == whole.contents
        assert comparing.states(target) == whole.states


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data
