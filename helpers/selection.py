"""Which entries of an archive make one table, whole: its rows, indexes, constraints, partitions."""

from __future__ import annotations

from .errors import ConfigError
from .toc import Entry, Toc, decoder

_PARTS = frozenset(
    (
        "ACL",
        "CHECK CONSTRAINT",
        "COMMENT",
        "CONSTRAINT",
        "DEFAULT",
        "FK CONSTRAINT",
        "INDEX",
        "INDEX ATTACH",
        "POLICY",
        "ROW SECURITY",
        "RULE",
        "SECURITY LABEL",
        "SEQUENCE",
        "SEQUENCE OWNED BY",
        "SEQUENCE SET",
        "STATISTICS",
        "STATISTICS DATA",
        "TABLE ATTACH",
        "TABLE DATA",
        "TRIGGER",
    )
)
_NAMED_BY_TABLE = frozenset(
    ("CHECK CONSTRAINT", "CONSTRAINT", "DEFAULT", "FK CONSTRAINT", "POLICY", "RULE", "TRIGGER")
)
"""Their tag is the table's name and their own: a foreign key depends on both its tables, and
belongs to one."""


def find_table(toc: Toc, wanted: str) -> Entry:
    """The table that a person calls `table` or `schema.table`; ConfigError unless it is one."""
    decode = decoder(toc)
    tables = {
        (decode(entry.namespace), decode(entry.tag)): entry
        for entry in toc.entries
        if entry.desc == "TABLE"
    }
    found = [key for key in tables if wanted in {key[1], f"{key[0]}.{key[1]}"}]
    if len(found) == 1:
        return tables[found[0]]
    names = sorted(f"{schema}.{name}" for schema, name in found or tables)
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    how = f"several tables {wanted!r}" if found else f"no table {wanted!r}"
    raise ConfigError(f"The backup holds {how}: {shown or 'it holds none'}.", "Name one of these.")


def of_table(toc: Toc, table: Entry) -> tuple[Entry, ...]:
    """Every entry of one table and of its partitions, in the archive's order.

    A partition alone is restored as a table of its own: nothing is done to its parent.
    """
    tables = _with_partitions(toc, table)
    others = {e.dump_id for e in toc.entries if e.desc == "TABLE"} - {e.dump_id for e in tables}
    taken = {entry.dump_id for entry in tables}
    names = tuple(f"{entry.tag} " for entry in tables)
    grew = True
    while grew:
        more = {
            entry.dump_id
            for entry in toc.entries
            if entry.desc in _PARTS
            and entry.dump_id not in taken
            and taken & _dependencies(entry)
            and (entry.desc == "FK CONSTRAINT" or not others & _dependencies(entry))
            and (entry.desc not in _NAMED_BY_TABLE or (entry.tag or "").startswith(names))
        }
        taken |= more
        grew = bool(more)
    return tuple(entry for entry in toc.entries if entry.dump_id in taken)


def _with_partitions(toc: Toc, table: Entry) -> list[Entry]:
    """A table and the partitions below it; TABLE ATTACH bears the partition's name."""
    by_id = {entry.dump_id: entry for entry in toc.entries if entry.desc == "TABLE"}
    attached = [entry for entry in toc.entries if entry.desc == "TABLE ATTACH"]
    found, rest = {table.dump_id}, [table.dump_id]
    while rest:
        parent = rest.pop()
        for entry in attached:
            for child in _dependencies(entry) & set(by_id) - found:
                name = (by_id[child].namespace, by_id[child].tag)
                if parent in _dependencies(entry) and name == (entry.namespace, entry.tag):
                    found.add(child)
                    rest.append(child)
    return [by_id[number] for number in sorted(found)]


def _dependencies(entry: Entry) -> set[int]:
    return set(map(int, entry.dependencies))
