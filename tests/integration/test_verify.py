"""Verify against backups of the real program, damaged in every way a disk or a person can."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers import checks, manifest, toc, verify
from helpers.progress import Quiet

from ..running import PROJECT, Ran, argv, environment, pgbackup
from ..servers import Database, Server

URL = "postgresql://nobody@127.0.0.1:1/chat"
SCHEMA = """
CREATE TABLE documents (id int PRIMARY KEY, body text, embedding {vector});
INSERT INTO documents SELECT n, repeat(md5(n::text), 3), {value} FROM generate_series(1, 40) AS n;
CREATE TABLE types (id bigserial PRIMARY KEY, kind regtype, note text);
INSERT INTO types (kind, note) SELECT 'int4', E'tab\\t' || n FROM generate_series(1, 30) AS n;
CREATE TABLE more_types (id int, kind regtype);
INSERT INTO more_types SELECT n, 'text' FROM generate_series(1, 20) AS n;
CREATE TABLE nothing (id int);
CREATE SEQUENCE tickets START 5;
SELECT nextval('tickets'), lo_from_bytea(4242, 'a large object'), lo_from_bytea(4243, '');
"""
SMALL = 700
"""Files up to this size are damaged at every byte, larger ones at some."""
SAMPLES = 60


@pytest.fixture(scope="module")
def source(server: Server) -> Iterator[Database]:
    with server.database() as fresh:
        vector = server.has_vector
        if vector:
            fresh.execute("CREATE EXTENSION vector")
        column, value = ("vector(3)", "'[1,2,3]'") if vector else ("float8[]", "'{1,2,3}'")
        fresh.execute(SCHEMA.format(vector=column, value=value))
        yield fresh


@pytest.fixture(scope="module")
def originals(source: Database, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two backups of one database, between which a row changed: neither is to be touched."""
    store = tmp_path_factory.mktemp("originals")
    env = environment(source.url, store)
    taken = []
    for statement in ("UPDATE types SET note = 'other' WHERE id = 7", "SELECT 1"):
        ran = pgbackup("backup", "--json", env=env, cwd=store)
        assert ran.code == 0, ran.said
        taken.append(Path(ran.json["backup"]["path"]))
        source.execute(statement)
    return taken[0], taken[1]


@pytest.fixture
def place(originals: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the first backup in a store of the test's own."""
    return Path(shutil.copytree(originals[0], tmp_path / "store" / originals[0].name))


def problems(place: Path) -> tuple[str, ...]:
    result = verify.verify(place, place.name, 1, Quiet(silent=True))
    assert result.passed is (not result.all_problems)
    return result.all_problems


def run(place: Path, *words: str, **extra: str) -> Ran:
    env = environment(URL, place.parent, **extra)
    return pgbackup("verify", "--file", str(place), *words, env=env, cwd=place.parent, timeout=30)


def positions(size: int) -> list[int]:
    """Every position of a small file; the first, the last and some more of a larger one."""
    if size <= SMALL:
        return list(range(size))
    some = random.Random(size).sample(range(1, size - 1), SAMPLES)
    return [0, *sorted(some), size - 1]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def reseal(place: Path, edit: Callable[[dict[str, Any]], object] = lambda document: None) -> None:
    """Edit the manifest, and make sizes, hashes, totals and SHA256SUMS agree with what is there."""
    path = place / "manifest.json"
    document = json.loads(path.read_text())
    edit(document)
    for part in document["files"]:
        data = (place / part["path"]).read_bytes()
        part |= {"size": len(data), "sha256": digest(data)}
    document["totals"] |= {
        "tables": len(document["tables"]),
        "rows": sum(table["rows"] for table in document["tables"]),
        "files": len(document["files"]),
        "file_bytes": sum(part["size"] for part in document["files"]),
    }
    path.write_text(json.dumps(document))
    listed = [*(part["path"] for part in document["files"]), "manifest.json"]
    sums = [f"{digest((place / file).read_bytes())}  {file}\n" for file in sorted(listed)]
    (place / "SHA256SUMS").write_text("".join(sums))


def forge(place: Path, edit: Callable[[dict[str, Any]], object] = lambda document: None) -> None:
    """The same by somebody who also removes the record of the verification."""
    reseal(place, edit)
    (place / "verification.json").unlink(missing_ok=True)


def table(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(t for t in document["tables"] if t["name"] == name)
    return found


def test_a_backup_as_it_was_taken_passes(place: Path) -> None:
    assert problems(place) == ()
    ran = run(place, "--json")
    assert (ran.code, ran.json["outcome"], ran.json["depth"]) == (0, "passed", 2)
    formats = {t["format"] for t in json.loads((place / "manifest.json").read_text())["tables"]}
    assert formats == {"text", "binary"}


def test_sha256sum_itself_passes_it_and_sees_a_change(place: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(command, cwd=place).returncode == 0
    (place / "toc.dat").write_bytes(b"x")
    assert subprocess.run(command, cwd=place, capture_output=True).returncode == 1


def test_a_flipped_bit_in_any_file_is_seen(place: Path) -> None:
    for path in sorted(place.iterdir()):
        data = path.read_bytes()
        for position in positions(len(data)):
            damaged = bytearray(data)
            damaged[position] ^= 1 << position % 8
            path.write_bytes(damaged)
            assert problems(place), f"{path.name} at byte {position}"
        path.write_bytes(data)
    assert problems(place) == ()


def test_a_truncated_file_and_one_with_more_bytes_are_seen(place: Path) -> None:
    for path in sorted(place.iterdir()):
        data = path.read_bytes()
        for length in positions(len(data)):
            path.write_bytes(data[:length])
            assert problems(place), f"{path.name} cut to {length} bytes"
        for more in (b"\0", b"\n", data):
            path.write_bytes(data + more)
            assert problems(place), f"{path.name} with {more[:1]!r} behind it"
        path.write_bytes(data)


def test_a_missing_file_is_seen(place: Path, tmp_path: Path) -> None:
    for path in sorted(place.iterdir()):
        away = path.rename(tmp_path / "away")
        # What was found before is no part of the backup: verify finds it again.
        assert bool(problems(place)) is (path.name != "verification.json"), path.name
        away.rename(path)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


MAKE: dict[str, Callable[[Path], object]] = {
    "file": Path.touch,
    "directory": Path.mkdir,
    "link": lambda path: path.symlink_to("toc.dat"),
    "dangling link": lambda path: path.symlink_to("/nowhere"),
    "fifo": _fifo,
}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize(
    "name", ["extra", ".hidden", "toc.dat.gz", "x\x1b[2J\n", os.fsdecode(b"\xff")]
)
def test_whatever_does_not_belong_to_the_backup_is_seen(place: Path, kind: str, name: str) -> None:
    MAKE[kind](place / name)
    (problem,) = problems(place)
    assert problem == f"{name!r} does not belong to the backup"


@pytest.mark.parametrize("kind", ["link to its own content", *MAKE])
def test_anything_else_in_the_place_of_a_file_is_seen_and_not_waited_for(
    place: Path, tmp_path: Path, kind: str
) -> None:
    for path in sorted(place.iterdir()):
        away = path.rename(tmp_path / "away")
        if kind == "link to its own content":
            path.symlink_to(away)
        else:
            MAKE[kind](path)
        assert problems(place), path.name
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
        away.rename(path)


@pytest.mark.parametrize("file", ["manifest.json", "SHA256SUMS", "verification.json", "toc.dat"])
def test_the_program_does_not_wait_for_a_fifo(place: Path, file: str) -> None:
    (place / file).unlink()
    os.mkfifo(place / file)
    assert run(place, "--json").code == 5


def test_raw_data_beside_the_compressed_is_seen_since_pg_restore_would_take_it(place: Path) -> None:
    compressed = next(place.glob("[0-9]*.dat.gz"))
    raw = compressed.with_suffix("")
    raw.write_bytes(gzip.decompress(compressed.read_bytes()))
    assert problems(place) == (f"{raw.name!r} does not belong to the backup",)
    compressed.unlink()
    assert any("missing" in problem for problem in problems(place))


def test_two_files_that_changed_places_are_seen(place: Path) -> None:
    files = [path for path in sorted(place.iterdir()) if path.name != "verification.json"]
    pairs = [
        (one, other)
        for one, other in itertools.combinations(files, 2)
        if one.read_bytes() != other.read_bytes()
    ]
    assert len(pairs) > 30
    for one, other in pairs:
        contents = one.read_bytes(), other.read_bytes()
        one.write_bytes(contents[1])
        other.write_bytes(contents[0])
        assert problems(place), f"{one.name} and {other.name}"
        one.write_bytes(contents[0])
        other.write_bytes(contents[1])


def test_data_of_two_tables_that_changed_places_is_seen_even_with_every_sum_made_anew(
    place: Path,
) -> None:
    document = json.loads((place / "manifest.json").read_text())
    one, other = (place / table(document, name)["file"] for name in ("types", "more_types"))
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])
    forge(place)
    assert "the rows of public.types are not those that were dumped" in problems(place)


def test_another_backup_under_this_name_is_seen(
    originals: tuple[Path, Path], tmp_path: Path
) -> None:
    impostor = Path(shutil.copytree(originals[1], tmp_path / originals[0].name))
    assert problems(impostor) == (
        f"the manifest is of {originals[1].name!r}, not of {originals[0].name!r}",
    )
    renamed = impostor.rename(tmp_path / "renamed")
    assert problems(renamed)


def test_a_file_of_another_backup_is_seen(originals: tuple[Path, Path], place: Path) -> None:
    for path in sorted(place.iterdir()):
        other = originals[1] / path.name
        if other.exists() and other.read_bytes() != path.read_bytes():
            data = path.read_bytes()
            path.write_bytes(other.read_bytes())
            assert problems(place), path.name
            path.write_bytes(data)


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "nothing but white space": lambda d: None,
    "the host": lambda d: d["backup"].update(host="elsewhere"),
    "the time": lambda d: d.update(snapshot="2020-01-01T00:00:00Z"),
    "why it is suspect": lambda d: d.update(suspect=["all rows are gone"]),
    "rows of binary data": lambda d: table(d, "documents").update(rows=41),
    "a column": lambda d: table(d, "documents")["columns"].pop(),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_manifest_is_seen_with_its_sums_made_anew_and_stays_seen(
    place: Path, edit: str
) -> None:
    before = (place / "manifest.json").read_bytes(), (place / "SHA256SUMS").read_bytes()
    reseal(place, EDITS[edit])
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=place).returncode == 0
    for _ in range(2):
        assert problems(place) == ("manifest.json is not the one that was verified before",)
        assert verify.record(place, verify.verify(place, place.name, 1, Quiet(silent=True)))
    (place / "manifest.json").write_bytes(before[0])
    (place / "SHA256SUMS").write_bytes(before[1])
    assert problems(place) == ()


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "rows": (lambda d: table(d, "types").update(rows=31), "30 rows instead of 31"),
    "bytes": (lambda d: table(d, "documents").update(bytes=1), "rows of public.documents"),
    "stream": (lambda d: table(d, "types").update(sha256="0" * 64), "rows of public.types"),
    "name": (lambda d: table(d, "types").update(name="kinds"), "the same tables"),
    "schema": (lambda d: table(d, "types").update(schema="other"), "the same tables"),
    "oid": (lambda d: table(d, "types").update(oid=1), "the same tables"),
    "table left out": (lambda d: d["tables"].pop(), "the same tables"),
    "table twice": (lambda d: d["tables"].append(d["tables"][0]), "the same tables"),
    "sequence": (lambda d: d["sequences"][0].update(value=99), "sequences"),
    "sequence left out": (lambda d: d["sequences"].pop(), "sequences"),
    "large objects": (lambda d: d.update(large_objects=3), "large object"),
    "format": (lambda d: table(d, "types").update(format="binary"), "does not begin"),
    "file of another": (
        lambda d: table(d, "types").update(file=table(d, "documents")["file"]),
        "the same tables",
    ),
    "file left out": (lambda d: d["files"].pop(), "does not belong"),
    "file twice": (lambda d: d["files"].append(d["files"][0]), "names a file twice"),
    "itself": (
        lambda d: d["files"].append({"path": "SHA256SUMS", "size": 1, "sha256": "0" * 64}),
        "not the archive's",
    ),
    "name of the backup": (lambda d: d["backup"].update(name="chat"), "is of 'chat', not of"),
}


@pytest.mark.parametrize("edit", FORGERIES)
def test_what_the_archive_contradicts_is_seen_even_with_every_sum_made_anew(
    place: Path, edit: str
) -> None:
    change, said = FORGERIES[edit]
    forge(place, change)
    assert any(said in problem for problem in problems(place)), problems(place)


def test_changed_rows_are_seen_even_with_every_sum_made_anew(place: Path) -> None:
    document = json.loads((place / "manifest.json").read_text())
    for name in ("types", "documents"):
        path = place / table(document, name)["file"]
        stored = path.read_bytes()
        data = bytearray(gzip.decompress(stored) if path.suffix == ".gz" else stored)
        data[len(data) // 2] ^= 1
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
        forge(place)
        assert f"the rows of public.{name} are not those that were dumped" in problems(place)
        path.write_bytes(stored)


def test_a_gigabyte_of_zeros_as_data_stays_flat_in_memory(place: Path) -> None:
    path = next(place.glob("[0-9]*.dat.gz"))
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        for _ in range(64):
            file.write(squeeze.compress(bytes(1 << 24)))
        file.write(squeeze.flush())
    reseal(place)
    assert _peak_mebibytes(place) < 160


@pytest.mark.parametrize("file", ["toc.dat", "SHA256SUMS", "manifest.json", "verification.json"])
def test_a_file_of_absurd_size_is_refused_without_being_held_in_memory(
    place: Path, file: str
) -> None:
    # What the manifest names is hashed to its end, so that only the others can be this large.
    os.truncate(place / file, 1 << (30 if file == "toc.dat" else 40))
    assert _peak_mebibytes(place) < 160


def _peak_mebibytes(place: Path) -> int:
    """What a process takes at most that verifies a damaged backup, interpreter and all."""
    # Not getrusage's ru_maxrss, which is handed on from the process that started this one.
    code = (
        "import re, sys, pathlib; from helpers import verify, progress\n"
        "place = pathlib.Path(sys.argv[1])\n"
        "result = verify.verify(place, place.name, 2, progress.Quiet(silent=True))\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(result.passed, int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) >> 10)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, place], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    passed, peak = done.stdout.split()
    assert passed == "False"
    return int(peak)


NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "a\0b",
    "a\nb",
    "\x1b[2J\x1b[31mred",
    "a/../b",
    "",
]


@contextmanager
def opening() -> Iterator[list[str]]:
    """Every path that is opened meanwhile, by Python's own account."""
    paths: list[str] = []
    listening = [True]

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if listening and event in {"open", "os.scandir", "os.listdir"}:
            paths.extend(
                str(argument) for argument in arguments[:1] if not isinstance(argument, int)
            )

    sys.addaudithook(hear)
    try:
        yield paths
    finally:
        listening.clear()


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_the_table_of_contents_that_points_elsewhere_is_not_followed(
    place: Path, name: str
) -> None:
    contents = toc.parse((place / "toc.dat").read_bytes())
    victim = next(toc.table_data(contents))
    entries = tuple(replace(e, filename=name) if e is victim else e for e in contents.entries)
    (place / "toc.dat").write_bytes(toc.build(replace(contents, entries=entries)))
    forge(place)
    with opening() as opened:
        assert problems(place)
    assert opened
    assert all(path.startswith(str(place)) for path in opened), opened
    ran = run(place)
    assert ran.code == 5, ran.said
    assert "\x1b" not in ran.said


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("key", ["tables", "files"])
def test_a_name_in_the_manifest_that_points_elsewhere_is_not_followed(
    place: Path, key: str, name: str
) -> None:
    document = json.loads((place / "manifest.json").read_text())
    document[key][0]["file" if key == "tables" else "path"] = name
    (place / "manifest.json").write_text(json.dumps(document))
    with opening() as opened:
        assert problems(place)
    assert opened == [str(place / "manifest.json")]


def test_names_with_escapes_are_not_printed_raw(place: Path) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["backup"]["name"] = "\x1b[2J\nverified, every file and every row."
        table(document, "types").update(name="\x1b[31m\x07\u202e\nverified", rows=1)

    forge(place, edit)
    (place / "\x1b[2Jextra").touch()
    ran = run(place)
    assert ran.code == 5, ran.said
    assert not {"\x1b", "\x07", "\u202e"} & set(ran.said)
    assert not any(line.startswith("verified") for line in ran.out.splitlines())


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("manifest.json", b"[" * 200_000),
        ("manifest.json", b'{"tables":' * 50_000),
        ("manifest.json", b"\0" * 4096),
        ("verification.json", b"[" * 200_000),
        ("SHA256SUMS", b"\xff" * 4096),
        ("toc.dat", b"PGDMP\x01\x10\x00\x04\x08\x03" + b"\xff" * 4096),
        ("toc.dat", b"PGDMP\x09\x00\x00\x04\x08\x03" + b"\0" * 4096),
    ],
)
def test_nonsense_in_a_file_ends_in_a_sentence(place: Path, file: str, content: bytes) -> None:
    (place / file).write_bytes(content)
    ran = run(place, "--json")
    assert ran.code == 5, ran.said
    assert ran.json["outcome"] == "failed"
    assert ran.json["problems"]


@pytest.mark.parametrize("field", ["oid", "definition"])
def test_a_number_of_ten_thousand_digits_in_the_table_of_contents_ends_in_a_sentence(
    place: Path, field: str
) -> None:
    contents = toc.parse((place / "toc.dat").read_bytes())
    wanted = "TABLE DATA" if field == "oid" else "SEQUENCE SET"
    number = "9" * 10_000
    text = number if field == "oid" else f"SELECT pg_catalog.setval('public.s', {number}, true);"
    change: dict[str, Any] = {field: text}
    entries = tuple(replace(e, **change) if e.desc == wanted else e for e in contents.entries)
    (place / "toc.dat").write_bytes(toc.build(replace(contents, entries=entries)))
    forge(place)
    assert problems(place)


def listed(place: Path) -> dict[str, Any]:
    ran = pgbackup("list", "--json", env=environment(URL, place.parent), cwd=place.parent)
    assert ran.code == 0, ran.said
    found: dict[str, Any] = ran.json["backups"][-1]
    return found


def test_a_damaged_backup_is_recorded_not_counted_and_cleared_by_a_later_good_verify(
    place: Path, originals: tuple[Path, Path]
) -> None:
    shutil.copytree(originals[1], place.parent / originals[1].name)
    env = environment(URL, place.parent, KEEP_LAST="1", KEEP_DAILY="0", KEEP_WEEKLY="0")
    env["KEEP_MONTHLY"] = "0"
    path = next(place.glob("[0-9]*.dat*"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert listed(place)["state"] == "good"

    ran = run(place)
    assert ran.code == 5
    assert "damaged: do not restore from it" in ran.out
    found = listed(place)
    assert (found["state"], found["depth"]) == ("failed verification", 0)
    assert any(path.name in problem for problem in found["checks"][0]["problems"])
    plan = pgbackup("prune", "--json", env=env, cwd=place.parent).json["plans"][0]["decisions"]
    assert [(d["keep"], d["reasons"]) for d in plan if d["name"] == place.name] == [
        (True, ["not verified: never counted, never deleted"])
    ]

    path.write_bytes(data)
    assert run(place).code == 0
    found = listed(place)
    assert (found["state"], found["depth"]) == ("good", 2)
    plan = pgbackup("prune", "--json", env=env, cwd=place.parent).json["plans"][0]["decisions"]
    assert [d["keep"] for d in plan if d["name"] == place.name] == [False]


def test_a_removed_record_is_written_again(place: Path) -> None:
    (place / "verification.json").unlink()
    assert listed(place)["state"] == "not verified"
    assert run(place).code == 0
    assert listed(place)["state"] == "good"


def test_a_result_that_cannot_be_recorded_is_told_all_the_same(place: Path) -> None:
    before = (place / "verification.json").read_bytes()
    words = argv("verify", "--quiet", "--file", str(place))
    done = subprocess.run(
        ["prlimit", "--fsize=0", *words],
        env=environment(URL, place.parent),
        cwd=place.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "The result could not be recorded: File too large." in done.stderr
    assert (place / "verification.json").read_bytes() == before
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_every_way_to_name_a_backup_leads_to_it(place: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env = environment(URL, place.parent)
    ways = [
        (place.name, elsewhere),
        ("latest", elsewhere),
        (str(place), elsewhere),
        (f"{place}/", elsewhere),
        (str(place / "toc.dat"), elsewhere),
        (str(place / "manifest.json"), elsewhere),
        (f"../store/{place.name}", elsewhere),
        (place.name, place.parent),
        (".", place),
        ("toc.dat", place),
    ]
    for file, cwd in ways:
        ran = pgbackup("verify", "--json", "--file", file, env=env, cwd=cwd)
        assert (ran.code, ran.json.get("file")) == (0, str(place)), (file, ran.said)


def test_names_do_not_cross_environments(place: Path, tmp_path: Path) -> None:
    prod = place.name.replace("_test_", "_prod_")
    (place.parent / prod).mkdir()
    env = environment(URL, place.parent)
    cases = {
        prod: ["environment prod, not test", "--env prod"],
        prod.replace("_prod_", "_dev_"): ["environment dev, not test", "--env dev"],
        place.name.replace("T", "9", 1): ["There is no backup"],
        place.name[:-7] + "000000Z": ["There is no backup"],
        "nothing": ["There is no backup or file 'nothing'"],
        "/nowhere/at/all": ["There is no backup or file"],
        "x" * 3000: ["There is no backup or file"],
        "": ["There is no backup or file"],
    }
    for file, said in cases.items():
        ran = pgbackup("verify", "--file", file, env=env, cwd=tmp_path)
        assert ran.code == 7, (file, ran.said)
        assert all(part in ran.err for part in said), ran.err
    without = environment(URL, tmp_path)
    ran = pgbackup("verify", "--file", "latest", env=without, cwd=tmp_path)
    assert (ran.code, "no backup of test" in ran.err) == (7, True), ran.said


def test_a_partial_directory_does_not_pass(place: Path) -> None:
    partial = place.rename(place.parent / f".partial-{place.name}")
    assert run(partial).code == 5


def test_an_empty_directory_with_a_backups_name_does_not_pass(place: Path) -> None:
    shutil.rmtree(place)
    place.mkdir()
    ran = run(place, "--json")
    assert (ran.code, ran.json["problems"]) == (
        5,
        ["manifest.json cannot be read (No such file or directory)."],
    )


def test_the_record_says_what_was_wrong_but_not_without_end(place: Path) -> None:
    for number in range(50):
        (place / f"extra-{number}").touch()
    result = verify.verify(place, place.name, 1, Quiet(silent=True))
    assert len(result.all_problems) == 50
    record = verify.record(place, result)
    assert record is not None
    found = record.outcome(checks.FILES)
    assert found is not None
    assert (found.outcome, len(found.problems)) == ("failed", 20)
    assert manifest.read(place)[0].backup.name == place.name
