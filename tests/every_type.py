"""A table for every type that PostgreSQL and its usual extensions ship, with extreme values."""

from __future__ import annotations

import psycopg
from psycopg import sql

from .servers import Database

LONG = "repeat('größer than a page ', 3000)"
"""SQL for a text that is kept out of line, compressed; `WIDE` is too random to be compressed."""
WIDE = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 2000) AS n)"

_RANGES = {
    "int4": ("empty", "(,)", "[-2147483648,2147483647)", "[1,5]"),
    "int8": ("empty", "(,)", "[-9223372036854775808,9223372036854775807)"),
    "num": ("empty", "(,)", "(NaN,)", "[-1.50,Infinity]", "(0.00000000001,1e100]"),
    "date": ("empty", "(,)", "[4713-01-01 BC,5874897-12-31)", "[-infinity,infinity]"),
    "ts": ("empty", "(,)", '["4713-01-01 00:00:00 BC","294276-12-31 23:59:59.999999"]'),
    "tstz": ("empty", "(,)", '["4713-01-01 00:00:00+00 BC",infinity]'),
}

VALUES: dict[str, tuple[str, ...]] = {
    "aclitem": ("postgres=r*w/postgres", "=X/postgres"),
    "bit": ("0", "1"),
    "bool": ("t", "f"),
    "box": ("(1,1),(0,0)", "(NaN,Infinity),(-Infinity,-0)", "(1e308,1e-308),(-1e308,0)"),
    "bpchar": ("", "a  ", "größer   "),
    "bytea": ("", r"\x00ff5c0a0d09", r"\x" + "00ff" * 6000),
    "char": ("", "a", "\\", r"\377"),
    "cid": ("0", "4294967295"),
    "cidr": ("0.0.0.0/0", "10.0.0.0/8", "::/0", "2001:db8::/32"),
    "circle": ("<(0,0),0>", "<(NaN,-0),Infinity>", "<(1,2),1e-300>"),
    "date": ("infinity", "-infinity", "4713-01-01 BC", "5874897-12-31", "0001-01-01 BC"),
    "float4": ("NaN", "Infinity", "-Infinity", "-0", "3.4028235e38", "1e-45", "0.1"),
    "float8": ("NaN", "Infinity", "-Infinity", "-0", "1.7976931348623157e308", "5e-324", "0.1"),
    "inet": ("0.0.0.0", "255.255.255.255/1", "::ffff:1.2.3.4", "fe80::1/64"),
    "int2": ("-32768", "32767"),
    "int2vector": ("", "1 -2 3"),
    "int4": ("-2147483648", "2147483647"),
    "int8": ("-9223372036854775808", "9223372036854775807"),
    "interval": (
        "-178000000 years",
        "178000000 years",
        "1 mon -1 day 00:00:00.000001",
        "-2147483648 days",
        "0",
    ),
    "json": ("null", ' {"b" :1, "b": 1.0e400,"\\u0000":"\\\\ \\n"}  ', "[]", '"\\ud83d\\ude00"'),
    "jsonb": ("null", '{"b": 1.10, "a": [null, {}, "\\\\"], "": -0.0}', "[]", "1e1000"),
    "jsonpath": ("$", "strict $.a[*] ? (@.b > 1 && exists (@.c))", '$."quo\\"te"'),
    "line": ("{1,2,3}", "{-1,0,NaN}", "{0,-1e-5,1e300}"),
    "lseg": ("[(0,0),(1,1)]", "[(NaN,-0),(Infinity,-Infinity)]"),
    "macaddr": ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"),
    "macaddr8": ("00:00:00:00:00:00:00:00", "08:00:2b:01:02:03:04:05"),
    "money": ("0", "-92233720368547758.08", "92233720368547758.07"),
    "name": ("", "a", "x" * 63),
    "numeric": ("NaN", "Infinity", "-Infinity", "0.000", "-1." + "0" * 300, "9" * 2000, "1e-1000"),
    "oid": ("0", "4294967295"),
    "oidvector": ("", "1 4294967295"),
    "path": ("((0,0))", "[(0,0),(NaN,-0),(1e308,-Infinity)]"),
    "pg_lsn": ("0/0", "FFFFFFFF/FFFFFFFF"),
    "pg_snapshot": ("1:1:", "10:20:10,14,15"),
    "point": ("(0,-0)", "(NaN,Infinity)", "(0.1,1e-300)"),
    "polygon": ("((0,0))", "((0,0),(1,NaN),(-Infinity,1e308))"),
    "refcursor": ("", "a cursor"),
    "regclass": ("-", "pg_catalog.pg_class"),
    "regcollation": ("0", 'pg_catalog."C"'),
    "regconfig": ("0", "pg_catalog.english"),
    "regdictionary": ("0", "pg_catalog.simple"),
    "regnamespace": ("0", "pg_catalog", "types"),
    "regoper": ("0", "pg_catalog.||/"),
    "regoperator": ("0", "pg_catalog.+(integer,integer)"),
    "regproc": ("0", "pg_catalog.now"),
    "regprocedure": ("0", "pg_catalog.abs(integer)"),
    "regrole": ("0", "postgres"),
    "regtype": ("0", "timestamp with time zone", "integer[]"),
    "text": ("", "\\N", "\\.", "tab\tline\nreturn\r\\ end", "größe 😀 \u0001\u007f", "NULL"),
    "tid": ("(0,0)", "(4294967295,65535)"),
    "time": ("00:00:00", "24:00:00", "23:59:59.999999"),
    "timestamp": (
        "infinity",
        "-infinity",
        "4713-01-01 00:00:00 BC",
        "294276-12-31 23:59:59.999999",
    ),
    "timestamptz": ("infinity", "-infinity", "4713-01-01 00:00:00+00 BC", "2026-03-29 01:30:00+00"),
    "timetz": ("00:00:00+15:59:59", "24:00:00-15:59:59", "12:00:00.000001+05:30"),
    "tsquery": ("", "'a' & !'b':*AB | 'c' <7> 'quo''te'"),
    "tsvector": ("", "'a':1A,16383 'b' 'quo''te':2B 'back\\\\slash'"),
    "txid_snapshot": ("1:1:", "10:20:10,14,15"),
    "uuid": ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    "varbit": ("", "1", "10" * 500),
    "varchar": ("", "  a  ", "\n"),
    "xid": ("0", "4294967295"),
    "xid8": ("0", "18446744073709551615"),
    "xml": ("", "<a b='1'>&lt;ü</a>", "text <b/> more"),
    **{f"{kind}range": values for kind, values in _RANGES.items()},
    **{
        f"{kind}multirange": ("{}", f"{{{values[1]}}}", f"{{{values[2]}}}")
        for kind, values in _RANGES.items()
    },
    "cardinal_number": ("0", "2147483647"),
    "character_data": ("", "any"),
    "sql_identifier": ("", "x" * 63),
    "time_stamp": ("infinity", "2026-01-01 00:00:00.12+00"),
    "yes_or_no": ("YES", "NO"),
    "vector": ("[1,-0,3e-45]", "[3.4028235e38]"),
    "halfvec": ("[1,-0,6e-08]", "[65504]"),
    "sparsevec": ("{}/5", "{1:1.5,16000:-2}/16000"),
    "hstore": ("", 'a=>NULL, "quo\\"te"=>"", "\\\\"=>"NULL"'),
    "citext": ("", "Größe", "\\N"),
    "ltree": ("", "Top.Science_1.a"),
    "lquery": ("*.a@*{1,2}.!b|c", "a"),
    "ltxtquery": ("a & !b@*", "a"),
    "ltree_gist": (),
    "cube": ("(0)", "(1,NaN,-0),(Infinity,-1e-300,2)", "()"),
}
"""Values by type, as its input function reads them; each type has NULL besides."""

SINCE_14 = {"numeric": {"Infinity", "-Infinity"}, "numrange": {"[-1.50,Infinity]"}}
"""Those that an older server's input function refuses."""

NO_INPUT = {
    "gtsvector": "an index's own: its input function refuses every value",
    "ltree_gist": "an index's own: its input function refuses every value",
    "pg_brin_bloom_summary": "an index's own: its input function refuses every value",
    "pg_brin_minmax_multi_summary": "an index's own: its input function refuses every value",
    "pg_dependencies": "of statistics: its input function refuses every value",
    "pg_mcv_list": "of statistics: its input function refuses every value",
    "pg_ndistinct": "of statistics: its input function refuses every value",
    "pg_node_tree": "of the catalog: its input function refuses every value",
    "ghstore": "an index's own: its input function refuses every value",
}
"""Types of which a table can hold nothing but NULL, and why."""

NO_COLUMN = dict.fromkeys(
    (
        "any",
        "anyarray",
        "anycompatible",
        "anycompatiblearray",
        "anycompatiblemultirange",
        "anycompatiblenonarray",
        "anycompatiblerange",
        "anyelement",
        "anyenum",
        "anymultirange",
        "anynonarray",
        "anyrange",
        "cstring",
        "event_trigger",
        "fdw_handler",
        "index_am_handler",
        "internal",
        "language_handler",
        "pg_ddl_command",
        "record",
        "table_am_handler",
        "trigger",
        "tsm_handler",
        "unknown",
        "void",
    ),
    "a pseudo-type: no column can have it",
)
"""Types that no column can have, and why."""

EXTENSIONS = ("vector", "hstore", "citext", "ltree", "cube")

# Rows of catalog tables and array types follow from the others, which is why neither is listed.
_SHIPPED = """
SELECT DISTINCT n.nspname, t.typname, CASE WHEN t.typarray <> 0 THEN t.typdelim::text END
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
WHERE (n.nspname IN ('pg_catalog', 'information_schema') OR d.objid IS NOT NULL)
  AND t.typtype <> 'c' AND t.typsend::oid <> 'array_send'::regproc::oid
  AND t.typname NOT IN ('_record', '_cstring')
ORDER BY 1, 2
"""

OTHERS = f"""
CREATE DOMAIN types.short AS text CHECK (length(value) < 9);
CREATE DOMAIN types.shorts AS types.short[] CHECK (cardinality(value) < 9);
CREATE TYPE types.mood AS ENUM ('', 'sad', 'Größe', 'quo''te,"');
CREATE TYPE types.pair AS (a int, "b c" text, "D" types.mood, e types.short[]);
CREATE TYPE types.pairs AS (left_one types.pair, rest types.pair[]);
CREATE TYPE types.moods AS RANGE (subtype = types.mood);
CREATE TYPE types.texts AS RANGE (subtype = text, collation = "C");
CREATE TABLE types.composed (s types.short, ss types.shorts, m types.mood, ms types.mood[],
  p types.pair, ps types.pairs, r types.moods, t types.texts, n numeric(30,10)[], c char(5)[]);
INSERT INTO types.composed VALUES
  ('', '{{}}', '', '{{NULL,"",sad}}', ROW(NULL, '', 'sad', '{{a,NULL}}'),
   ROW(ROW(1, '\\"),(', '', NULL), ARRAY[ROW(2, NULL, NULL, '{{}}')::types.pair, NULL]),
   '[sad,Größe]', '[a,"b,)"]', '{{NaN,1.5,NULL}}', '[0:1]={{ab,""}}'),
  (NULL, NULL, NULL, NULL, NULL, NULL, 'empty', '(,)', NULL, NULL),
  (NULL, NULL, NULL, '{{}}', ROW(NULL, NULL, NULL, NULL), ROW(NULL, NULL), NULL, NULL,
   '{{}}', NULL);
CREATE TABLE types.toasted (id int, compressed text, wide text, external text, bytes bytea,
  words text[], j jsonb, p types.pair);
ALTER TABLE types.toasted ALTER external SET STORAGE external;
INSERT INTO types.toasted SELECT n, {LONG}, {WIDE}, {LONG}, convert_to({WIDE}, 'UTF8'),
  ARRAY[{LONG}, NULL, {WIDE}], jsonb_build_object('k', {WIDE}),
  ROW(n, {LONG}, NULL, NULL)::types.pair
  FROM generate_series(1, 3) AS n;
"""
"""Types of a user's own, over and over one another, and values that are kept out of line."""


def create(
    database: Database, *, xml: bool = True, beside: Database | None = None
) -> tuple[int, int]:
    """Make a table for each type in the schema `types`: how many types, and how many values.

    Without `xml` that type has no values, since not every server is built to read them. Extensions
    are those that the server of `beside` has, too. Raises AssertionError for a shipped type that is
    not listed here.
    """
    with database.connect() as connection, connection.transaction():
        connection.execute("CREATE SCHEMA types")
        for name in _extensions(database) & _extensions(beside or database):
            connection.execute(sql.SQL("CREATE EXTENSION {}").format(sql.Identifier(name)))
        shipped = connection.execute(_SHIPPED).fetchall()
        unknown = {row[1] for row in shipped} - {*VALUES, *NO_INPUT, *NO_COLUMN}
        assert not unknown, f"types that no list has: {unknown}"
        typed = [row for row in shipped if row[1] not in NO_COLUMN]
        values = sum(_table(connection, *row, xml=xml) for row in typed)
        _widest(connection, typed)
        connection.execute(OTHERS.encode())
    return len(typed), values


def _extensions(database: Database) -> set[str]:
    rows = database.query("SELECT name FROM pg_available_extensions")
    return {row[0] for row in rows} & set(EXTENSIONS)


def _table(
    connection: psycopg.Connection[tuple[object, ...]],
    schema: str,
    name: str,
    comma: str | None,
    *,
    xml: bool,
) -> int:
    """One table with a column of the type and one of its arrays; a row for each value."""
    kind = sql.Identifier(schema, name)
    table = sql.Identifier("types", name)
    listed = sql.SQL("{}[]").format(kind) if comma else sql.SQL("text")
    connection.execute(sql.SQL("CREATE TABLE {} (v {}, a {})").format(table, kind, listed))
    row = sql.SQL("INSERT INTO {} VALUES (%s::{}, {})")
    values = () if name in NO_INPUT or (name == "xml" and not xml) else VALUES[name]
    if connection.info.server_version < 140000:
        values = tuple(value for value in values if value not in SINCE_14.get(name, ()))
    nothing = row.format(table, kind, sql.SQL("NULL"))
    connection.execute(nothing, [None])
    for value in values:
        connection.execute(nothing, [value])
    if comma:
        for lists in ("'{}'", "'{NULL}'", "'[-3:-2][5:6]={{NULL,NULL},{NULL,NULL}}'"):
            connection.execute(row.format(table, kind, sql.SQL(lists.replace(",", comma))), [None])
        nested = sql.SQL("ARRAY[ARRAY[%s::{0}, NULL], ARRAY[NULL, %s::{0}]]::{0}[]")
        filled = row.format(table, kind, nested.format(kind))
        for value in values:
            connection.execute(filled, [value, value, values[0]])
    return len(values)


def reads_xml(database: Database) -> bool:
    """Whether the server was built with what it needs to read XML."""
    try:
        database.query("SELECT xml '<a/>'")
    except psycopg.errors.FeatureNotSupported:
        return False
    return True


def _widest(
    connection: psycopg.Connection[tuple[object, ...]], typed: list[tuple[object, ...]]
) -> None:
    """One table with a column of every type, holding the first value of each that has one."""
    names = [str(row[1]) for row in typed]
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(str(name)), sql.Identifier(str(schema), str(name)))
        for schema, name, _ in typed
    ]
    connection.execute(
        sql.SQL("CREATE TABLE types.everything ({})").format(sql.SQL(", ").join(columns))
    )
    firsts = [
        sql.SQL("(SELECT v FROM {} WHERE v IS NOT NULL LIMIT 1)").format(
            sql.Identifier("types", name)
        )
        for name in names
    ]
    connection.execute(
        sql.SQL("INSERT INTO types.everything SELECT {}").format(sql.SQL(", ").join(firsts))
    )
