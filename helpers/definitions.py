"""Compare what two archives define, object by object: what is missing, changed or added."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from . import toc
from .catalog import major
from .toc import Entry, Toc

_ELSEWHERE = frozenset(
    {
        "BLOB",
        "BLOB METADATA",
        "BLOBS",
        "DATABASE",
        "DATABASE PROPERTIES",
        "ENCODING",
        "MATERIALIZED VIEW DATA",
        "SEARCHPATH",
        "SEQUENCE SET",
        "STATISTICS DATA",
        "STDSTRINGS",
        "TABLE DATA",
    }
)
"""Kinds of entries that are data, or about the database as a whole."""

_ATTACHED_APART = 14
_ATTACHED = re.compile(r"^ALTER TABLE ONLY .+ ATTACH PARTITION ", re.MULTILINE)
"""How pg_dump before 14 attached a partition: in the entry of the table (dumpTableSchema), not in
one of its own."""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Comparison:
    """Sentences on what differs, and the names of what two versions only write differently."""

    problems: tuple[str, ...]
    rewritten: tuple[str, ...]


def compare(
    original: Toc, again: Toc, *, owners: bool, exact: bool, without: Collection[str]
) -> Comparison:
    """What the archive `again`, made of the restored database, says otherwise than the original.

    Unless `exact`, another version wrote it, and definitions are only compared by their names.
    Collations `without` are known to be others.
    """
    before, after = _described(original, owners, without), _described(again, owners, without)
    problems, rewritten = [], []
    for key in sorted(before.keys() | after.keys()):
        name = _shown(key)
        if len(after[key]) < len(before[key]):
            problems.append(f"{name} is missing from the restored database")
        elif len(after[key]) > len(before[key]):
            problems.append(f"{name} is in the restored database, but not in the backup")
        elif Counter(before[key]) != Counter(after[key]):
            owned = Counter(owner for _, owner in before[key])
            if owned != Counter(owner for _, owner in after[key]):
                problems.append(f"{name} has another owner in the restored database")
            elif exact:
                problems.append(f"{name} is defined differently in the restored database")
            else:
                rewritten.append(name)
    return Comparison(tuple(problems), tuple(rewritten))


def _described(
    contents: Toc, owners: bool, without: Collection[str]
) -> defaultdict[Key, list[tuple[str, str]]]:
    found: defaultdict[Key, list[tuple[str, str]]] = defaultdict(list)
    decode = toc.decoder(contents)
    within = major(contents.header.dump_version or "") < _ATTACHED_APART
    for entry in _objects(contents, owners):
        name, place = decode(entry.tag), decode(entry.namespace)
        if entry.desc != "COLLATION" or name not in without:
            owner = decode(entry.owner) if owners else ""
            definition = decode(entry.definition)
            found[entry.desc or "", place, name].append((definition, owner))
            if within and entry.desc == "TABLE" and _ATTACHED.search(definition):
                found["TABLE ATTACH", place, name].append(("", owner))
    return found


def _objects(contents: Toc, owners: bool) -> Iterator[Entry]:
    for entry in contents.entries:
        about = entry.tag or ""
        skipped = {"ACL", "DEFAULT ACL"} if not owners else set()
        if entry.desc not in _ELSEWHERE | skipped and not about.startswith(
            ("DATABASE ", "LARGE OBJECT")
        ):
            yield entry


def _shown(key: Key) -> str:
    kind, schema, name = key
    return f"{kind.lower()} {f'{schema}.' if schema else ''}{name}"
