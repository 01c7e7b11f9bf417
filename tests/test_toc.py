"""The table of contents of archives that pg_dump of every major at hand has made."""

from __future__ import annotations

import shutil
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import toc
from helpers.errors import VerificationError
from helpers.toc import Entry, Header, Toc

from .servers import Database, Server

VERSIONS = {13: (1, 14), 15: (1, 14), 16: (1, 15), 17: (1, 16), 18: (1, 16)}
BIGINT_MAX, BIGINT_MIN = 2**63 - 1, -(2**63)
ODD = 'it\'s "odd"\n; ünï\\code 漢字 🐘'
QUOTED = '"' + ODD.replace('"', '""') + '"'
ROLE = 'toc o\'wner\n"é"'
QUOTED_ROLE = '"' + ROLE.replace('"', '""') + '"'

SCHEMA = f"""
CREATE TABLE plain (id bigint PRIMARY KEY, word text DEFAULT '');
INSERT INTO plain VALUES (1, 'one');
CREATE SCHEMA {QUOTED};
CREATE TABLE {QUOTED}.{QUOTED} (id int PRIMARY KEY, other bigint REFERENCES plain, {QUOTED} text);
COMMENT ON TABLE {QUOTED}.{QUOTED} IS E'two\\nlines';
ALTER TABLE {QUOTED}.{QUOTED} OWNER TO {QUOTED_ROLE};
CREATE VIEW seen AS SELECT id FROM plain;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM plain;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS $$ SELECT 2 * n $$;
CREATE SEQUENCE fresh;
CREATE SEQUENCE called;
SELECT setval('called', 42);
CREATE SEQUENCE down INCREMENT -1 MINVALUE {BIGINT_MIN} START -7;
SELECT setval('down', {BIGINT_MIN});
CREATE SEQUENCE {QUOTED}.high;
SELECT setval('{QUOTED.replace("'", "''")}.high', {BIGINT_MAX}, false);
CREATE SEQUENCE "', 5, true);";
SELECT lo_from_bytea(0, 'one'), lo_from_bytea(0, 'two');
"""

HEADER = Header((1, 16, 0), 4, 8, 3, 1, (0, 0, 0, 1, 0, 126, 0), "db", "18.6", "18.6")
ENTRY = Entry(
    dump_id=1,
    had_dumper=0,
    catalog_oid="1259",
    oid="7",
    tag="t",
    desc="TABLE",
    section=2,
    definition="CREATE TABLE public.t ();\n",
    drop_statement="DROP TABLE public.t;\n",
    copy_statement=None,
    namespace="public",
    tablespace="",
    table_am="heap",
    relkind=114,
    owner="me",
    with_oids="false",
    dependencies=("2", "3"),
    filename=None,
)


@dataclass(frozen=True)
class Archive:
    """A directory archive, and the bytes of its table of contents."""

    major: int
    path: Path

    @property
    def data(self) -> bytes:
        return (self.path / "toc.dat").read_bytes()

    @property
    def toc(self) -> Toc:
        return toc.parse(self.data)


def dumped(database: Database, path: Path, *options: str) -> Archive:
    argv = [str(database.server.bin_dir / "pg_dump"), "-Fd", *options, "-f", str(path)]
    subprocess.run([*argv, database.url], check=True, capture_output=True)
    return Archive(database.server.major, path)


def restored(archive: Path, database: Database, *options: str) -> None:
    argv = [str(database.server.bin_dir / "pg_restore"), "--exit-on-error", *options]
    subprocess.run([*argv, "-d", database.url, str(archive)], check=True, capture_output=True)


@pytest.fixture(scope="session")
def archive(any_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """An archive of something of everything, made by this major's pg_dump."""
    any_server.maintenance.execute(f"CREATE ROLE {QUOTED_ROLE}")
    with any_server.database() as database:
        database.execute(SCHEMA)
        yield dumped(database, tmp_path_factory.mktemp("toc") / "archive")
    any_server.maintenance.execute(f"DROP ROLE {QUOTED_ROLE}")


@pytest.fixture(scope="session")
def small(any_server: Server, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real table of contents that is small enough to damage in every place."""
    with any_server.database() as database:
        database.execute("CREATE TABLE t (a int PRIMARY KEY); CREATE SEQUENCE s")
        return dumped(database, tmp_path_factory.mktemp("toc") / "small").data


def entry(contents: Toc, desc: str, tag: str) -> Entry:
    (found,) = (e for e in contents.entries if (e.desc, e.tag) == (desc, tag))
    return found


def read_all(contents: Toc) -> None:
    """Everything that is ever asked of a table of contents."""
    toc.encoding(contents)
    toc.owners(contents)
    list(toc.table_data(contents))
    list(toc.sequence_values(contents))
    oids = {int(e.oid or 0) for e in contents.entries if e.desc == "TABLE"}
    toc.parse(toc.build(toc.with_data(contents, dict.fromkeys(oids, "COPY"))))


def survives(data: bytes) -> bool:
    """Whether `data` is read as a table of contents; any error but the one expected fails."""
    try:
        contents = toc.parse(data)
        assert toc.build(contents) == data
        read_all(contents)
    except VerificationError:
        return False
    return True


def test_every_major_writes_the_version_that_is_known_of_it(archive: Archive) -> None:
    header = archive.toc.header
    assert header.version[:2] == VERSIONS[archive.major]
    assert header.version[:2] in toc.SUPPORTED
    assert (header.server_version or "").startswith(f"{archive.major}.")
    assert (header.dump_version or "").startswith(f"{archive.major}.")


def test_a_table_of_contents_is_rebuilt_to_the_byte(archive: Archive) -> None:
    kinds = {"TABLE", "VIEW", "MATERIALIZED VIEW", "FUNCTION", "BLOBS", "FK CONSTRAINT"}
    assert kinds <= {e.desc for e in archive.toc.entries}
    assert toc.build(archive.toc) == archive.data


@pytest.mark.parametrize("level", ["0", "9"])
def test_compression_of_any_level_is_rebuilt(
    database: Database, tmp_path: Path, level: str
) -> None:
    made = dumped(database, tmp_path / "a", "-Z", level)
    assert made.toc.header.compression == int(level != "0")
    assert toc.build(made.toc) == made.data


def test_the_header_names_the_database(archive: Archive) -> None:
    assert (archive.toc.header.database or "").startswith("test_")
    _sec, _minute, _hour, day, month, year, _dst = archive.toc.header.created
    assert 1 <= day <= 31
    assert 0 <= month <= 11
    assert year >= 126


def test_odd_names_are_read_as_they_are(archive: Archive) -> None:
    table = entry(archive.toc, "TABLE", ODD)
    assert (table.namespace, table.owner) == (ODD, ROLE)
    data = entry(archive.toc, "TABLE DATA", ODD)
    assert data.dependencies[0] == str(table.dump_id)
    assert (data.copy_statement or "").startswith(f"COPY {QUOTED}.{QUOTED} (id, other, {QUOTED}) ")


def test_null_differs_from_the_empty_string(archive: Archive) -> None:
    table, data = entry(archive.toc, "TABLE", "plain"), entry(archive.toc, "TABLE DATA", "plain")
    assert table.tablespace == ""
    assert data.tablespace is None
    assert table.filename == ""
    assert table.copy_statement is None


def test_null_and_empty_keep_apart_in_the_bytes() -> None:
    null = toc.build(Toc(HEADER, (replace(ENTRY, owner=None),)))
    empty = toc.build(Toc(HEADER, (replace(ENTRY, owner=""),)))
    assert null != empty
    assert toc.parse(null).entries[0].owner is None
    assert toc.parse(empty).entries[0].owner == ""


def test_the_data_of_each_table_is_in_the_file_named(archive: Archive) -> None:
    entries = list(toc.table_data(archive.toc))
    assert {e.tag for e in entries} == {"plain", ODD}
    for one in entries:
        assert (archive.path / f"{one.filename}.gz").is_file()


def test_sequences_have_the_values_they_were_set_to(archive: Archive) -> None:
    assert set(toc.sequence_values(archive.toc)) == {
        ("public", "fresh", 1, False),
        ("public", "called", 42, True),
        ("public", "down", BIGINT_MIN, True),
        (ODD, "high", BIGINT_MAX, False),
        ("public", "', 5, true);", 1, False),
    }


def test_a_sequence_without_a_value_is_malformed() -> None:
    nothing = replace(ENTRY, desc="SEQUENCE SET", definition="SELECT 1;\n")
    with pytest.raises(VerificationError, match="sets no value"):
        list(toc.sequence_values(Toc(HEADER, (nothing,))))


def test_owners_are_the_roles_that_a_restore_needs(archive: Archive, any_server: Server) -> None:
    ((superuser,),) = any_server.maintenance.query("SELECT current_user::text")
    builtin = {"pg_database_owner"}  # owns schema public, whether or not the archive says so
    assert toc.owners(archive.toc) - builtin == {ROLE, superuser}


def test_names_that_are_not_utf8_survive_and_are_readable(
    any_server: Server, tmp_path: Path
) -> None:
    with any_server.database("ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'") as database:
        database.execute(r'CREATE TABLE U&"\00E9" (a int); CREATE SEQUENCE U&"\00FC"')
        made = dumped(database, tmp_path / "archive")
    assert b"\0\1\0\0\0\xe9" in made.data
    assert toc.build(made.toc) == made.data
    assert toc.encoding(made.toc) == "LATIN1"
    assert "é" in map(toc.decoder(made.toc), (e.tag for e in made.toc.entries))
    assert [row[1] for row in toc.sequence_values(made.toc)] == ["ü"]


def test_each_encoding_of_postgresql_is_read_as_postgresql_does(server: Server) -> None:
    names = [
        str(name)
        for (name,) in server.maintenance.query(
            "SELECT pg_encoding_to_char(n) FROM generate_series(0, 34) n "
            "WHERE pg_encoding_to_char(n) <> ''"
        )
    ]
    unknown, judged = set(), 0
    with server.maintenance.connect() as connection:
        for name in names:
            contents = in_encoding(name)
            if toc.codec(contents) is None:
                unknown.add(name)
                continue
            for letter in "aéşжпאعไ中日한ґł€":
                raw = converted(connection, letter, name)
                if raw is not None:
                    judged += 1
                    text = raw.decode("utf-8", "surrogateescape")
                    assert (name, toc.decoder(contents)(text)) == (name, letter)
    assert unknown == {"EUC_TW", "MULE_INTERNAL"}
    assert judged > 100


def in_encoding(name: str) -> Toc:
    said = replace(ENTRY, desc="ENCODING", definition=f"SET client_encoding = '{name}';\n")
    return Toc(HEADER, (said,))


def converted(
    connection: psycopg.Connection[tuple[object, ...]], letter: str, name: str
) -> bytes | None:
    try:
        row = connection.execute("SELECT convert_to(%s, %s)", (letter, name)).fetchone()
    except psycopg.Error:
        return None
    assert row
    assert isinstance(row[0], bytes)
    return row[0]


@pytest.mark.parametrize("name", ["rot13", "hex", "zlib", "undefined", "idna", "punycode", "é"])
def test_an_encoding_that_postgresql_has_not_is_only_escaped(name: str) -> None:
    contents = toc.parse(toc.build(in_encoding(name)))
    assert toc.codec(contents) is None
    assert toc.decoder(contents)("t\udce9") == "t\\xe9"


def test_an_archive_that_does_not_say_its_encoding_says_none() -> None:
    assert toc.encoding(Toc(HEADER, (ENTRY,))) is None
    assert toc.decoder(Toc(HEADER, ()))(None) == ""


def test_every_truncation_is_noticed(small: bytes) -> None:
    for length in range(len(small)):
        with pytest.raises(VerificationError):
            toc.parse(small[:length])


@pytest.mark.parametrize("more", [b"\0", b"\n", b"PGDMP"])
def test_anything_after_the_last_entry_is_malformed(small: bytes, more: bytes) -> None:
    with pytest.raises(VerificationError, match="goes on"):
        toc.parse(small + more)


def test_any_changed_byte_is_read_or_refused_and_nothing_else(small: bytes) -> None:
    outcomes = set()
    for place, byte in enumerate(small):
        for other in {0, 0x27, 0x7F, 0xFF, byte ^ 1, byte ^ 0x80} - {byte}:
            outcomes.add(survives(small[:place] + bytes((other,)) + small[place + 1 :]))
    assert outcomes == {True, False}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 40))
def test_any_bytes_anywhere_are_read_or_refused(piece: bytes, place: int, removed: int) -> None:
    whole = toc.build(Toc(HEADER, (ENTRY, replace(ENTRY, dump_id=9, desc="ENCODING"))))
    survives(piece)
    survives(whole[:place] + piece + whole[place + removed :])


# What pg_dump can write: any bytes but zero, in whichever encoding.
texts = st.none() | st.binary(max_size=12).map(
    lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
numbers = st.integers(-(2**31) + 1, 2**31 - 1)
oids = st.integers(0, 2**32 - 1).map(str)
some = texts.map(lambda text: text or "")
headers = st.builds(
    Header,
    version=st.sampled_from([(*version, 0) for version in toc.SUPPORTED]),
    int_size=st.just(4),
    offset_size=st.sampled_from([4, 8]),
    format=st.just(3),
    compression=st.integers(0, 9),
    created=st.tuples(*[numbers] * 7),
    database=texts,
    server_version=texts,
    dump_version=texts,
)
entries = st.builds(
    Entry,
    dump_id=st.integers(1, 2**31 - 1),
    had_dumper=numbers,
    catalog_oid=oids,
    oid=oids,
    tag=texts,
    desc=some,
    section=numbers,
    definition=texts,
    drop_statement=texts,
    copy_statement=texts,
    namespace=texts,
    tablespace=texts,
    table_am=texts,
    relkind=st.just(0),
    owner=texts,
    with_oids=some,
    dependencies=st.lists(st.integers(0, 2**31 - 1).map(str), max_size=3).map(tuple),
    filename=texts,
)


@settings(max_examples=200, deadline=None)
@given(headers, st.lists(entries, max_size=4, unique_by=lambda one: one.dump_id))
def test_what_is_built_is_parsed_to_the_same(header: Header, listed: list[Entry]) -> None:
    contents = Toc(header, tuple(listed))
    assert toc.parse(toc.build(contents)) == contents


def changed(**fields: object) -> Callable[[], bytes]:
    return lambda: toc.build(Toc(HEADER, (replace(ENTRY, **fields),)))  # type: ignore[arg-type]


REFUSED: dict[str, Callable[[], bytes]] = {
    "an entry numbered zero": changed(dump_id=0),
    "an entry with a negative number": changed(dump_id=-1),
    "an oid of letters": changed(oid="x"),
    "an empty oid": changed(oid=""),
    "no oid": changed(oid=None),
    "an oid of other digits": changed(oid="٣"),
    "an oid and a newline": changed(oid="7\n"),
    "an oid too large": changed(oid=str(2**32)),
    "no oid of a catalog": changed(catalog_oid=None),
    "no kind": changed(desc=None),
    "neither with oids nor without": changed(with_oids=None),
    "an empty dependency": changed(dependencies=("",)),
    "a dependency of many digits": changed(dependencies=("9" * 5000,)),
    "a dependency too large": changed(dependencies=(str(2**31),)),
    "text behind a zero byte": changed(tag="t\0hidden"),
    "two entries of one number": lambda: toc.build(Toc(HEADER, (ENTRY, ENTRY))),
    "the custom format": lambda: toc.build(Toc(replace(HEADER, format=1), ())),
    "a format unknown": lambda: toc.build(Toc(replace(HEADER, format=5), ())),
    "integers of eight bytes": lambda: toc.build(Toc(replace(HEADER, int_size=8), ())),
    "nothing": lambda: b"",
    "the first word alone": lambda: b"PGDMP",
    "a plain dump": lambda: b"-- PostgreSQL database dump\n",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_pg_dump_does_not_write_is_refused(case: str) -> None:
    data = REFUSED[case]()
    with pytest.raises(VerificationError):
        toc.parse(data)


def test_a_negative_count_is_called_one() -> None:
    with pytest.raises(VerificationError, match="counts -2 entries"):
        toc.parse(toc.build(Toc(HEADER, ()))[:-5] + b"\1\2\0\0\0")


def test_a_custom_archive_is_not_taken_for_a_directory(database: Database, tmp_path: Path) -> None:
    argv = [str(database.server.bin_dir / "pg_dump"), "-Fc", "-f", str(tmp_path / "custom")]
    subprocess.run([*argv, database.url], check=True, capture_output=True)
    with pytest.raises(VerificationError, match="directory archive"):
        toc.parse((tmp_path / "custom").read_bytes())


@pytest.mark.parametrize("version", [(1, 13), (1, 17), (2, 0), (0, 16)])
def test_an_unknown_version_is_an_error_of_its_own(version: tuple[int, int]) -> None:
    data = toc.build(Toc(replace(HEADER, version=(*version, 0)), ()))
    with pytest.raises(toc.UnknownArchiveVersion, match=f"{version[0]}.{version[1]}"):
        toc.parse(data)


def peak_of(read: Callable[[], object]) -> int:
    """The most memory in bytes that a read which must be refused has held."""
    tracemalloc.start()
    try:
        with pytest.raises(VerificationError):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("claimed", [2**31 - 1, -(2**31) + 1, -2])
def test_a_count_or_length_that_lies_asks_for_no_memory(claimed: int) -> None:
    number = bytes((claimed < 0,)) + abs(claimed).to_bytes(4, "little")
    head = toc.build(Toc(HEADER, ()))[:-5]
    entry_head = (b"\0\1\0\0\0" + b"\0\0\0\0\0") + number
    assert peak_of(lambda: toc.parse(head + number)) < 1_000_000
    assert peak_of(lambda: toc.parse(head + b"\0\1\0\0\0" + entry_head)) < 1_000_000


def test_hostile_dependencies_take_memory_in_proportion_to_the_file() -> None:
    many = replace(ENTRY, dependencies=("11",) * 100_000)
    data = toc.build(Toc(HEADER, (many,)))[:-1]
    assert peak_of(lambda: toc.parse(data)) < 16 * len(data)


@pytest.mark.parametrize("repeated", ["a", "''", "setval('", "', 1, true);", "', 1, true); "])
def test_a_hostile_sequence_takes_little_memory(repeated: str) -> None:
    body = "SELECT pg_catalog.setval('" + repeated * (2_000_000 // len(repeated)) + "x"
    contents = Toc(HEADER, (replace(ENTRY, desc="SEQUENCE SET", definition=body),))
    assert peak_of(lambda: list(toc.sequence_values(contents))) < 1_000_000


@pytest.mark.parametrize("options", [[], ["-j2"], ["-1"]])
def test_data_that_is_added_is_restored_by_stock_pg_restore(
    any_server: Server, tmp_path: Path, options: list[str]
) -> None:
    with any_server.database() as source, any_server.database() as target:
        source.execute(
            f"CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE {QUOTED} (id int REFERENCES a);"
            "CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM a; SELECT lo_from_bytea(0, 'x')"
        )
        without = [f"--exclude-table-data=public.{name}" for name in ("a", QUOTED)]
        made = dumped(source, tmp_path / "a", *without)
        assert not list(toc.table_data(made.toc))
        statements = {
            int(e.oid or 0): f"COPY public.{'a' if e.tag == 'a' else QUOTED} (id) FROM stdin;\n"
            for e in made.toc.entries
            if e.desc == "TABLE"
        }
        whole = toc.with_data(made.toc, statements)
        for one in toc.table_data(whole):
            (made.path / str(one.filename)).write_bytes(b"1\n2\n3\n\\.\n\n\n")
        (made.path / "toc.dat").write_bytes(toc.build(whole))
        restored(made.path, target, *options)
        assert target.query(f"SELECT count(*), sum(a.id) FROM a JOIN {QUOTED} USING (id)") == [
            (3, 6)
        ]
        assert target.query("SELECT count FROM m") == [(3,)]


def test_added_data_takes_no_number_that_is_in_use(archive: Archive) -> None:
    before = archive.toc
    statements = {int(e.oid or 0): "COPY" for e in before.entries if e.desc == "TABLE"}
    whole = toc.with_data(before, statements)
    added = [e for e in whole.entries if e not in before.entries]
    used = {e.dump_id for e in before.entries}
    used |= {int(number) for e in before.entries for number in e.dependencies}
    assert len(added) == len(statements) == 2
    assert not used & {e.dump_id for e in added}
    assert tuple(e for e in whole.entries if e not in added) == before.entries


def test_added_data_takes_no_number_that_only_a_dependency_names() -> None:
    whole = toc.with_data(Toc(HEADER, (replace(ENTRY, dependencies=("50",)),)), {7: "COPY"})
    assert [e.dump_id for e in whole.entries] == [1, 51]


def test_an_added_entry_is_what_pg_dump_itself_writes(archive: Archive) -> None:
    own = entry(archive.toc, "TABLE DATA", ODD)
    table = entry(archive.toc, "TABLE", ODD)
    without = replace(archive.toc, entries=tuple(e for e in archive.toc.entries if e != own))
    whole = toc.with_data(without, {int(table.oid or 0): str(own.copy_statement)})
    added = entry(whole, "TABLE DATA", ODD)
    assert added.filename == f"{added.dump_id}.dat"
    assert replace(added, dump_id=own.dump_id, filename=own.filename) == own


def test_added_data_stands_before_all_that_comes_after_data(archive: Archive) -> None:
    table = entry(archive.toc, "TABLE", "plain")
    sections = [e.section for e in toc.with_data(archive.toc, {int(table.oid or 0): "C"}).entries]
    place = [
        e.copy_statement for e in toc.with_data(archive.toc, {int(table.oid or 0): "C"}).entries
    ]
    assert 2 not in sections[place.index("C") :]
    assert 4 not in sections[: place.index("C")]


def test_data_for_a_table_that_the_archive_lacks_is_refused(archive: Archive) -> None:
    with pytest.raises(VerificationError, match="lacks a table"):
        toc.with_data(archive.toc, {1: "COPY"})


def test_sections_in_an_unknown_order_are_refused() -> None:
    late = replace(ENTRY, dump_id=2, section=4, desc="INDEX")
    with pytest.raises(VerificationError, match="order"):
        toc.with_data(Toc(HEADER, (late, ENTRY)), {7: "COPY"})


def test_numbers_that_run_out_are_an_error_and_not_a_damaged_archive() -> None:
    last = Toc(HEADER, (replace(ENTRY, dump_id=2**31 - 1),))
    with pytest.raises(VerificationError, match="too large"):
        toc.build(toc.with_data(last, {7: "COPY"}))


def test_pg_restore_lists_what_is_rebuilt_as_it_lists_the_original(
    archive: Archive, any_server: Server, tmp_path: Path
) -> None:
    again = shutil.copytree(archive.path, tmp_path / "again")
    (again / "toc.dat").write_bytes(toc.build(archive.toc))
    argv = [str(any_server.bin_dir / "pg_restore"), "--list"]
    lists = [
        subprocess.run([*argv, str(path)], check=True, capture_output=True).stdout
        for path in (archive.path, again)
    ]
    assert lists[0] == lists[1]
    assert f"TOC Entries: {len(archive.toc.entries)}".encode() in lists[0]
