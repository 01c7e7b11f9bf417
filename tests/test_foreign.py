"""Archives and dumps that other people's clients made: read to their end, or called damaged."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import foreign, toc
from helpers.errors import BackupError, ConfigError, VerificationError

from .running import Ran, environment, pgbackup
from .servers import Database, Server

ROWS = 3000
SCHEMA = f"""
CREATE TABLE notes (id serial PRIMARY KEY, body text);
INSERT INTO notes (body) SELECT md5(n::text) FROM generate_series(1, {ROWS}) AS n;
CREATE TABLE nothing (id int);
SELECT lo_from_bytea(0, 'a large object'), lo_from_bytea(0, '');
"""
KINDS = {
    "custom": "custom archive",
    "directory": "directory archive",
    "raw": "directory archive",
    "tar": "tar archive",
    "sql": "plain dump",
    "sql.gz": "plain dump",
    "all.sql": "plain dump",
    "globals.sql": "plain dump",
    "schema.sql": "plain dump",
    "inserts.sql": "plain dump",
    "inserts": "directory archive",
}


@pytest.fixture(scope="module")
def source(any_server: Server) -> Iterator[Database]:
    with any_server.database() as fresh:
        fresh.execute(SCHEMA)
        yield fresh


@pytest.fixture(scope="module")
def dumps(source: Database, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of every kind by one major's own clients, named by KINDS; not to be touched."""
    place = tmp_path_factory.mktemp("dumps")
    environment = {**os.environ, "PGPASSWORD": source.server.scratch.password}

    def run(program: str, *words: str) -> None:
        subprocess.run([str(source.server.bin_dir / program), *words], check=True, env=environment)

    for file, options in {
        "custom": ["--format=custom"],
        "directory": ["--format=directory"],
        "raw": ["--format=directory", "--compress=0"],
        "tar": ["--format=tar"],
        "sql": [],
        "schema.sql": ["--schema-only"],
        "inserts.sql": ["--inserts"],
        "inserts": ["--format=directory", "--inserts"],
    }.items():
        run("pg_dump", *options, f"--file={place / file}", source.url)
    run("pg_dumpall", f"--file={place / 'all.sql'}", f"--dbname={source.url}")
    run("pg_dumpall", "--globals-only", f"--file={place / 'globals.sql'}", f"--dbname={source.url}")
    (place / "sql.gz").write_bytes(gzip.compress((place / "sql").read_bytes()))
    return place


@pytest.fixture
def copies(dumps: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dumps, tmp_path / "copies"))


def verdict(path: Path) -> str | None:
    """What it is; None if it is damaged."""
    try:
        return foreign.read_through(path, None)
    except VerificationError:
        return None


def run(path: Path, *words: str) -> Ran:
    env = environment(None, None)
    return pgbackup("verify", "--file", str(path), *words, env=env, cwd=path.parent, timeout=60)


@pytest.mark.parametrize("kind", KINDS)
def test_what_real_clients_wrote_is_readable(dumps: Path, kind: str) -> None:
    assert verdict(dumps / kind) == KINDS[kind]


def test_the_program_says_that_there_is_nothing_to_compare_it_with(dumps: Path) -> None:
    ran = run(dumps / "custom")
    assert (ran.code, "readable to its end; nothing to compare it with" in ran.out) == (0, True)
    ran = run(dumps / "directory", "--json")
    assert (ran.code, ran.json["outcome"], ran.json["kind"]) == (
        0,
        "readable",
        "directory archive",
    )


@pytest.mark.parametrize("kind", ["custom", "tar", "sql", "sql.gz", "all.sql"])
def test_a_truncated_file_is_damaged(copies: Path, kind: str) -> None:
    path = copies / kind
    data = path.read_bytes()
    for cut in (1, 2, 5, 6, 511, 512, 1024, 2000, len(data) // 100, len(data) * 2 // 5, len(data)):
        path.write_bytes(data[:-cut])
        assert verdict(path) is None, f"{cut} bytes less"


@pytest.mark.parametrize("kind", ["directory", "raw"])
def test_a_truncated_or_missing_file_in_a_directory_is_damage(copies: Path, kind: str) -> None:
    for path in sorted((copies / kind).iterdir()):
        data = path.read_bytes()
        # Nothing tells that a raw large object is cut off.
        if kind == "directory" or not path.name.startswith("blob_"):
            for cut in {1, 8, len(data) // 100, len(data) * 2 // 5, len(data)} - {0}:
                path.write_bytes(data[:-cut])
                assert verdict(path.parent) is None, f"{path.name}: {cut} bytes less"
        path.unlink()
        assert verdict(path.parent) is None, f"{path.name} is missing"
        path.write_bytes(data)
    assert verdict(copies / kind)


@pytest.mark.parametrize("kind", ["custom", "directory", "sql.gz"])
def test_a_flipped_bit_in_compressed_data_is_damage(copies: Path, kind: str) -> None:
    path = copies / kind
    if path.is_dir():
        path = max(path.glob("[0-9]*.dat.gz"), key=lambda file: file.stat().st_size)
    data = path.read_bytes()
    # The rows fill the middle; headers hold times and names, which nothing checks.
    middle = range(len(data) // 4, len(data) * 3 // 4)
    for position in random.Random(7).sample(middle, 25):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        assert verdict(copies / kind) is None, f"byte {position}"


def test_the_program_calls_damage_by_its_exit_code(copies: Path) -> None:
    os.truncate(copies / "custom", 20_000)
    ran = run(copies / "custom")
    assert ran.code == 5
    assert "cannot be read to its end by pg_restore" in ran.err


def test_a_dump_of_all_databases_that_ends_with_one_of_them_is_damaged(copies: Path) -> None:
    path = copies / "all.sql"
    data = path.read_bytes()
    between = data.index(b"-- PostgreSQL database dump complete")
    path.write_bytes(data[: data.index(b"--\n-- Database", between)])
    assert verdict(path) is None


def test_a_dump_that_passed_through_windows_is_readable(copies: Path) -> None:
    path = copies / "schema.sql"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert verdict(path) == "plain dump"


def test_a_gzip_file_is_known_without_its_ending(copies: Path) -> None:
    path = (copies / "sql.gz").rename(copies / "backup-of-monday")
    assert verdict(path) == "plain dump"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("empty.sql", b""),
        ("empty.sql.gz", gzip.compress(b"", mtime=0)),
        ("text.txt", b"PostgreSQL database dump complete\n"),
        ("page.html", b"<html>404: no such backup</html>\n"),
        ("zeros", bytes(100_000)),
        ("short", b"PGDMP"),
        ("custom.dump", b"PGDMP" + b"\xff" * 4096),
        ("just.gz", b"\x1f\x8b"),
        ("tail.sql", b"\n--\n-- PostgreSQL database dump complete\n--\n\n0 bytes left on device"),
    ],
)
def test_what_is_no_dump_is_called_damaged(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    ran = run(path)
    assert (ran.code, path.name in ran.err) == (5, True), ran.said


def test_random_bytes_are_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "random"
    for seed in range(20):
        path.write_bytes(random.Random(seed).randbytes(5000))
        assert verdict(path) is None


def test_a_directory_without_a_table_of_contents_and_special_files_are_called_damaged(
    tmp_path: Path,
) -> None:
    assert run(tmp_path).code == 5
    os.mkfifo(tmp_path / "fifo")
    assert run(tmp_path / "fifo").code == 5
    os.mkfifo(tmp_path / "toc.dat")
    assert run(tmp_path).code == 5
    assert run(Path("/dev/zero")).code == 5


@pytest.mark.parametrize(
    ("magic", "name"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh91AY", "bzip2"), (b"\xfd7zXZ\0", "xz")]
)
def test_a_compression_not_read_here_is_no_damage(tmp_path: Path, magic: bytes, name: str) -> None:
    path = tmp_path / "dump.sql.packed"
    path.write_bytes(magic + bytes(100))
    ran = run(path)
    assert (ran.code, name in ran.err, "Decompress it" in ran.err) == (2, True, True), ran.said


@pytest.mark.parametrize("kind", ["custom", "tar"])
def test_a_compressed_archive_is_no_damage(copies: Path, kind: str) -> None:
    path = copies / "packed"
    path.write_bytes(gzip.compress((copies / kind).read_bytes()))
    with pytest.raises(ConfigError, match="an archive inside"):
        foreign.read_through(path, None)


def edit_toc(directory: Path, change: Callable[[bytes], bytes]) -> None:
    path = directory / "toc.dat"
    path.write_bytes(change(path.read_bytes()))


def test_what_no_pg_restore_at_hand_can_read_is_no_damage(copies: Path) -> None:
    custom = copies / "custom"
    data = custom.read_bytes()
    custom.write_bytes(data[:5] + b"\x01\x63" + data[7:])
    with pytest.raises(ConfigError, match=r"cannot read .*: .*unsupported version"):
        foreign.read_through(custom, None)


def test_without_pg_restore_the_missing_program_is_the_problem(dumps: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No pg_restore is installed"):
        foreign.read_through(dumps / "custom", tmp_path)
    assert foreign.read_through(dumps / "sql", tmp_path) == "plain dump"


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "..", "a\nb", "\x1b[2J"])
def test_a_file_name_that_points_outside_a_directory_is_refused(copies: Path, name: str) -> None:
    directory = copies / "directory"
    (copies.parent / "secret").write_text("\\.\n\n\n")

    def change(data: bytes) -> bytes:
        contents = toc.parse(data)
        victim = next(toc.table_data(contents))
        entries = (replace(e, filename=name) if e is victim else e for e in contents.entries)
        return toc.build(replace(contents, entries=tuple(entries)))

    edit_toc(directory, change)
    ran = run(directory)
    assert (ran.code, "names a file that is not in it" in ran.err) == (5, True), ran.said
    assert "\x1b" not in ran.said


def test_a_list_of_large_objects_that_names_others_is_refused(copies: Path) -> None:
    directory = copies / "directory"
    (listed,) = directory.glob("blobs*.toc")
    for line in (b"1 ../../secret\n", b"1 blob_1.dat\n", b"nonsense\n", b"\0\n"):
        data = listed.read_bytes()
        listed.write_bytes(data + line)
        assert verdict(directory) is None
        listed.write_bytes(data)
    (directory / "blob_99.dat.gz").write_bytes(gzip.compress(b"more"))
    assert verdict(directory) is None


def test_a_list_of_large_objects_longer_than_they_can_make_it_is_refused_unread(
    copies: Path,
) -> None:
    directory = copies / "directory"
    (listed,) = directory.glob("blobs*.toc")
    os.truncate(listed, 1 << 29)
    with pytest.raises(VerificationError, match="larger than it may be"):
        foreign._check_large_objects(directory)


def test_a_link_or_a_fifo_in_a_directory_is_refused(copies: Path) -> None:
    directory = copies / "directory"
    for path in sorted(directory.iterdir()):
        away = path.rename(copies / "away")
        path.symlink_to(away)
        assert verdict(directory) is None, path.name
        path.unlink()
        os.mkfifo(path)
        assert verdict(directory) is None, path.name
        path.unlink()
        away.rename(path)


def test_a_tar_file_is_whole_in_every_writers_way(copies: Path) -> None:
    data = (copies / "tar").read_bytes()
    padded = copies / "padded"
    padded.write_bytes(data + bytes(10240 - len(data) % 10240))
    assert verdict(padded) == "tar archive"
    padded.write_bytes(data + b"x")
    assert verdict(padded) is None


def test_a_tar_file_that_lost_any_blocks_at_its_end_is_damaged(copies: Path) -> None:
    path = copies / "tar"
    data = path.read_bytes()
    for blocks in range(1, 20):
        path.write_bytes(data[: -512 * blocks])
        assert verdict(path) is None, f"{blocks} blocks"


def test_a_changed_header_of_a_tar_member_is_damage(copies: Path) -> None:
    path = copies / "tar"
    with tarfile.open(path) as archive:
        starts = [member.offset for member in archive]
    data = path.read_bytes()
    for start in starts:
        damaged = bytearray(data)
        damaged[start + 130] ^= 1
        path.write_bytes(damaged)
        assert verdict(path) is None, f"member at {start}"


def test_an_archive_that_sends_pg_restore_into_a_loop_ends_in_a_sentence(copies: Path) -> None:
    path = copies / "custom"
    data = path.read_bytes()
    # Data is compressed in one stream but written in pieces, each behind its length. With one
    # more byte behind the stream's end, pg_restore asks zlib for ever what it makes of it.
    inflate = zlib.decompressobj()
    inflate.decompress(data[data.rindex(b"x\x9c") :])
    end = len(data) - len(inflate.unused_data)
    path.write_bytes(data[:end] + struct.pack("<BI", 0, 1) + b"x" + data[end:])
    ran = run(path)
    assert (ran.code, "into a loop" in ran.err) == (5, True), ran.said


def test_the_error_names_the_file_and_what_to_do(copies: Path) -> None:
    path = copies / "sql"
    os.truncate(path, 1000)
    with pytest.raises(BackupError) as caught:
        foreign.read_through(path, None)
    assert str(path) in caught.value.what
    assert "Do not restore from it" in caught.value.do
