"""What a snapshot's vectors are like, and which are nearest to which: asked again of a drill's.

Of each column the first few hundred rows are asked, by the primary key, else as they lie: they are
the same ones after a restore, and the price does not grow with the table. pgvector refuses NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from .catalog import Table
from .errors import ToolError
from .manifest import Probe, VectorPart
from .postgres import Session
from .sqltext import quoted

SAMPLE = 300
"""Rows of each table that are looked at."""

PLACES = (1, 150, 300)
"""The rows in the sample whose nearest neighbours are kept."""

NEAREST = 5
COLUMNS = 50
"""So many columns are asked at most, which bounds what a thousand partitions cost."""

_TOLERANCE = 1e-4
"""How far distances may be apart, relatively: processors sum up in different orders."""

_COLUMNS = """
SELECT c.oid::int8, n.nspname, c.relname, a.attname, tn.nspname, t.typname,
  coalesce((SELECT pg_catalog.array_agg(k.attname::text ORDER BY u.place)
   FROM pg_catalog.pg_index i
   CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS u (attnum, place)
   JOIN pg_catalog.pg_attribute k ON k.attrelid = c.oid AND k.attnum = u.attnum
   WHERE i.indrelid = c.oid AND i.indisprimary), '{}')
FROM pg_catalog.pg_extension x
JOIN pg_catalog.pg_depend d ON d.refobjid = x.oid AND d.deptype = 'e'
  AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
  AND d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
JOIN pg_catalog.pg_type t ON t.oid = d.objid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace
JOIN pg_catalog.pg_attribute a ON a.atttypid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE x.extname = 'vector' AND t.typname IN ('vector', 'halfvec', 'sparsevec')
  AND n.nspname !~ '^pg_'
ORDER BY n.nspname, c.relname, a.attnum
"""

# {length} and {norm} are functions that take the type; a zero has no NaN, a NaN makes the norm one.
_ASK = """
WITH sample AS MATERIALIZED (
  SELECT pg_catalog.row_number() OVER ()::int AS n, v
  FROM (SELECT {column} AS v FROM ONLY {table} {order} LIMIT %(sample)s) AS first
)
SELECT NULL::int, pg_catalog.array_agg(DISTINCT {length}(v)) FILTER (WHERE v IS NOT NULL),
  pg_catalog.count(*)::float8,
  pg_catalog.count(*) FILTER (WHERE {norm}(v) = 'NaN'::pg_catalog.float8)::float8,
  pg_catalog.count(v)
FROM sample
UNION ALL
SELECT p.n, near.rows, near.distance, NULL, NULL
FROM sample AS p CROSS JOIN LATERAL (
  SELECT pg_catalog.array_agg(o.n ORDER BY o.distance, o.n) AS rows,
    pg_catalog.sum(o.distance) AS distance
  FROM (SELECT s.n, p.v OPERATOR({schema}.<->) s.v AS distance FROM sample AS s
        WHERE s.v IS NOT NULL ORDER BY 2, 1 LIMIT %(nearest)s) AS o
) AS near
WHERE p.n = ANY (%(places)s) AND p.v IS NOT NULL
ORDER BY 1 NULLS FIRST
"""

_EXACT = "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off"


def take(session: Session, tables: Iterable[Table]) -> tuple[VectorPart, ...]:
    """What the vectors of these tables are like in the session's snapshot; DatabaseError."""
    wanted = {table.oid for table in tables}
    asked = [row[1:] for row in session.query(_COLUMNS) if row[0] in wanted][:COLUMNS]
    found = []
    for row in asked:
        session.execute("SAVEPOINT probe")
        try:
            found.append(_ask(session, row))
            session.execute("RELEASE SAVEPOINT probe")
        except ToolError:
            # vectors of different dimensions in one column, which have no distance
            session.execute("ROLLBACK TO SAVEPOINT probe")
    return tuple(found)


def differences(session: Session, recorded: Sequence[VectorPart]) -> tuple[str, ...]:
    """What a restored database answers otherwise, its vector indexes left aside."""
    session.execute(_EXACT)
    there = {(row[1], row[2], row[3]): row[1:] for row in session.query(_COLUMNS)}
    found = []
    for part in recorded:
        row = there.get((part.schema_, part.table, part.column))
        name = f"vectors {part.schema_}.{part.table}.{part.column}"
        try:
            now = _ask(session, row) if row else None
        except ToolError as error:
            found.append(f"{name} cannot be asked: {error.what}")
            continue
        found += [f"{name}: {said}" for said in _compared(part, now)]
    return tuple(found)


def _compared(then: VectorPart, now: VectorPart | None) -> Iterable[str]:
    if now is None:
        yield "there is no such column of vectors"
        return
    if (then.rows, then.nulls) != (now.rows, now.nulls):
        yield f"{now.nulls:,} of {now.rows:,} are NULL instead of {then.nulls:,} of {then.rows:,}"
    if then.dimensions != now.dimensions:
        yield f"they have {now.dimensions} dimensions instead of {then.dimensions}"
    if then.nan != now.nan:
        yield f"{now.nan:,} of the sample hold NaN instead of {then.nan:,}"
    if len(then.probes) != len(now.probes) or not all(map(_alike, then.probes, now.probes)):
        yield "the nearest neighbours of the probes are others"


def _alike(then: Probe, now: Probe) -> bool:
    """Equal neighbours; where distances are all but the same, they may have changed places."""
    if then.row != now.row:
        return False
    near = math.isclose(then.distance, now.distance, rel_tol=_TOLERANCE, abs_tol=1e-9)
    return near and (then.nearest == now.nearest or set(then.nearest) == set(now.nearest))


def _ask(session: Session, row: Sequence[Any]) -> VectorPart:
    schema, table, column, home, kind, key = row
    names = [quoted(str(name)) for name in key]
    own = quoted(str(home))
    functions = {
        "vector": ("vector_dims", "vector_norm"),
        "halfvec": ("vector_dims", "l2_norm"),
        "sparsevec": ("", "l2_norm"),
    }
    length, norm = functions[str(kind)]
    path = f"{quoted(str(schema))}.{quoted(str(table))}"
    statement = _ASK.format(
        column=quoted(str(column)).replace("%", "%%"),
        table=path.replace("%", "%%"),
        order=f"ORDER BY {', '.join(names)}".replace("%", "%%") if names else "",
        schema=own.replace("%", "%%"),
        length=f"{own}.{length}" if length else "pg_catalog.num_nulls",
        norm=f"{own}.{norm}",
    )
    summary, *probes = session.query(statement, sample=SAMPLE, places=list(PLACES), nearest=NEAREST)
    filled = int(summary[4])
    return VectorPart(
        schema_=str(schema),
        table=str(table),
        column=str(column),
        rows=int(summary[2]),
        nulls=int(summary[2]) - filled,
        dimensions=tuple(summary[1] or ()) if length else (),
        nan=int(summary[3]),
        by_key=bool(names),
        probes=tuple(
            Probe(
                row=number,
                nearest=tuple(nearest or ()),
                distance=distance if distance and math.isfinite(distance) else 0.0,
            )
            for number, nearest, distance, *_ in probes
        ),
    )
