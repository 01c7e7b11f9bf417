"""Which tables can be copied in PostgreSQL's binary format and restored to the same values.

A type is safe if its receive function takes back what its send function wrote, on this major and
every later one; the rules are read from PostgreSQL's source and were tried on 15 to 18. What
is not known to be safe is left to pg_dump.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from .catalog import Facts
from .postgres import Session

OLDEST_MAJOR = 14
"""13 refuses arrays and composites of types whose oid differs from the source's."""

EXTENSIONS = ("citext", "cube", "hstore", "ltree", "vector")
"""Extensions whose types are sent and received alike in every version of theirs."""

# send writes an oid of this server, receive refuses what send may write, or there is no receive.
_UNSAFE = (
    "aclitem",
    "gtsvector",
    "int2vector",
    "oidvector",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_ndistinct",
    "pg_node_tree",
    "regclass",
    "regcollation",
    "regconfig",
    "regdatabase",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "tsquery",
    "xml",
)

_RULE = """
WITH RECURSIVE part(root, oid, path) AS (
  SELECT t.oid, t.oid, ARRAY[t.oid] FROM pg_catalog.pg_type t
  WHERE EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
    WHERE a.attrelid::int8 = ANY (%(tables)s) AND a.atttypid = t.oid
      AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
  UNION ALL
  SELECT k.root, e.sub, k.path || e.sub
  FROM part k JOIN pg_catalog.pg_type t ON t.oid = k.oid
  CROSS JOIN LATERAL (
    SELECT t.typbasetype AS sub WHERE t.typtype = 'd'
    UNION ALL SELECT t.typelem WHERE t.typtype = 'b' AND t.typelem <> 0
      AND t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc
    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r
      WHERE t.typtype = 'r' AND r.rngtypid = t.oid
    UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r
      WHERE t.typtype = 'm' AND r.rngmultitypid = t.oid
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
      WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  ) e WHERE e.sub <> ALL (k.path)
), judged AS (
  SELECT k.root, pg_catalog.format_type(k.oid, NULL) AS type,
    CASE WHEN t.typsend = 0 OR t.typreceive = 0 THEN false
      WHEN t.typtype IN ('d', 'e', 'r', 'm', 'c') THEN true
      WHEN t.typtype = 'p' THEN false
      WHEN t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc THEN true
      WHEN t.oid < 10000 THEN t.typname <> ALL (%(unsafe)s)
      ELSE EXISTS (
        SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
        WHERE d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid
          AND d.deptype = 'e'
          AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          AND x.extname = ANY (%(extensions)s)) END AS safe
  FROM part k JOIN pg_catalog.pg_type t ON t.oid = k.oid
), unsafe AS (SELECT root, pg_catalog.min(type) AS type FROM judged WHERE NOT safe GROUP BY root)
SELECT c.oid::int8,
  pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
  coalesce((
    SELECT '(' || pg_catalog.string_agg(
        '"' || pg_catalog.replace(a.attname, '"', '""') || '"', ', ' ORDER BY a.attnum)
      || ')' FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), ''),
  coalesce(
    (SELECT a.attname || ' is of type ' || b.type
     FROM pg_catalog.pg_attribute a JOIN unsafe b ON b.root = a.atttypid
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
     ORDER BY a.attnum LIMIT 1),
    CASE WHEN am.amname <> 'heap' THEN 'its access method is ' || am.amname END,
    CASE WHEN EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
        AND d.deptype = 'e') THEN 'it belongs to an extension' END,
    CASE WHEN EXISTS (
      SELECT FROM pg_catalog.pg_partition_ancestors(c.oid) p
      JOIN pg_catalog.pg_partitioned_table pt ON pt.partrelid = p.relid
      JOIN pg_catalog.pg_opclass oc ON oc.oid = ANY (pt.partclass::pg_catalog.oid[])
      JOIN pg_catalog.pg_am ha ON ha.oid = oc.opcmethod
      WHERE ha.amname = 'hash' AND oc.opcname = 'enum_ops'
        AND oc.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace)
      THEN 'it is partitioned by the hash of an enum' END)
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
WHERE c.oid::int8 = ANY (%(tables)s)
"""


@dataclass(frozen=True)
class Source:
    """How a table is written in SQL: its quoted name, and its columns in parentheses or none."""

    name: str
    columns: str

    @property
    def copy_out(self) -> str:
        """The statement that reads its rows."""
        return f"COPY {self.name} {self.columns} TO STDOUT (FORMAT binary)"

    @property
    def copy_in(self) -> str:
        """The statement that restores them, written as pg_dump writes it (dumpTableData)."""
        return f"COPY {self.name} {self.columns} FROM stdin (FORMAT binary);\n"


def sources(session: Session, facts: Facts, tables: Collection[int]) -> dict[int, Source]:
    """Those of the tables, by oid, that can be copied in binary.

    Columns are always quoted: a word that is a name on this major may be reserved on a later one.
    In an encoding other than UTF-8 a name must be ASCII, since it goes to the client as it is.
    """
    if facts.major < OLDEST_MAJOR or not tables:
        return {}
    values = {"tables": list(tables), "unsafe": list(_UNSAFE), "extensions": list(EXTENSIONS)}
    return {
        oid: Source(name, columns)
        for oid, name, columns, reason in session.query(_RULE, **values)
        if reason is None and (facts.encoding == "UTF8" or (name + columns).isascii())
    }
