"""What differs between a restored database and its manifest is found, and named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import drill as drilling
from helpers import manifest, places, postgres, toc
from helpers.places import Place, Subject
from helpers.progress import Quiet

from ..servers import Server


@pytest.fixture(scope="module")
def restored(original: Path, server: Server) -> Iterator[tuple[Place, Subject]]:
    """The backup restored on a server that stays, to be changed statement by statement."""
    found, _ = manifest.read(original)
    contents = toc.parse((original / "toc.dat").read_bytes())
    subject = Subject(original, found, contents, 2)
    with places.at_url(postgres.parameters(server.url()), subject, server.bin_dir) as place:
        drilling.rehearsal.restore(subject, place, place.client, Quiet(silent=True))
        yield place, subject


def compared(place: Place, subject: Subject, statement: str) -> tuple[str, ...]:
    """What differs after a statement, which is undone."""
    with postgres.connect(place.admin) as session:
        session.execute(statement)
        findings = drilling.compare(session, subject, place, frozenset(), Quiet(silent=True))
        assert not findings.unjudged
        return findings.problems


@pytest.mark.parametrize(
    ("change", "undo", "named"),
    [
        ("SELECT 1", "SELECT 1", []),
        (
            "INSERT INTO public.notes VALUES ('more')",
            "DELETE FROM public.notes WHERE text = 'more'",
            ["table public.notes has 51 rows instead of 50"],
        ),
        (
            "UPDATE public.notes SET text = '050' WHERE text = '50'",
            "UPDATE public.notes SET text = '50' WHERE text = '050'",
            ["the rows of public.notes are not those of the backup"],
        ),
        (
            "SELECT pg_catalog.setval('public.numbers', 9)",
            "SELECT pg_catalog.setval('public.numbers', 2)",
            ["sequence public.numbers stands at 9 instead of 2"],
        ),
        (
            "DROP INDEX public.notes_text",
            "CREATE INDEX notes_text ON public.notes USING btree (text)",
            ["index public.notes_text is missing from the restored database"],
        ),
        (
            "DROP VIEW public.shown",
            "CREATE VIEW public.shown AS SELECT text FROM public.notes",
            ["view public.shown is missing from the restored database"],
        ),
        (
            "CREATE OR REPLACE FUNCTION public.twice(n int) RETURNS int LANGUAGE sql"
            " AS 'SELECT 3 * n'",
            "CREATE OR REPLACE FUNCTION public.twice(n int) RETURNS int LANGUAGE sql"
            " AS 'SELECT 2 * n'",
            ["function public.twice(integer) is defined differently in the restored database"],
        ),
        (
            "SELECT pg_catalog.lo_put(4711, 0, 'A')",
            "SELECT pg_catalog.lo_put(4711, 0, 'a')",
            ["large object 4711 is not that of the backup"],
        ),
        (
            "UPDATE pg_catalog.pg_index SET indisvalid = false"
            " WHERE indexrelid = 'public.notes_text'::pg_catalog.regclass",
            "UPDATE pg_catalog.pg_index SET indisvalid = true"
            " WHERE indexrelid = 'public.notes_text'::pg_catalog.regclass",
            [
                "index public.notes_text is missing from the restored database",
                "index public.notes_text is not valid",
            ],
        ),
        (
            "UPDATE pg_catalog.pg_constraint SET convalidated = false WHERE contype = 'c'"
            " AND conname = 'notes_text_check'",
            "UPDATE pg_catalog.pg_constraint SET convalidated = true WHERE contype = 'c'"
            " AND conname = 'notes_text_check'",
            [
                "check constraint public.notes notes_text_check is in the restored database, but"
                " not in the backup",
                "constraint notes_text_check of notes is not validated",
                "table public.notes is defined differently in the restored database",
            ],
        ),
        (
            "UPDATE public.docs SET small = '[0,0,99]' WHERE id = 2",
            "UPDATE public.docs SET small = '[2,2,2]' WHERE id = 2",
            [
                "the rows of public.docs are not those of the backup",
                "vectors public.docs.small: the nearest neighbours of the probes are others",
            ],
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_each_difference_is_found_and_named(
    restored: tuple[Place, Subject], change: str, undo: str, named: list[str]
) -> None:
    place, subject = restored
    changing = f"SET allow_system_table_mods = on; SET search_path = public; {change}"
    try:
        assert sorted(compared(place, subject, changing)) == named
    finally:
        with postgres.connect(place.admin) as session:
            session.execute(f"SET allow_system_table_mods = on; SET search_path = public; {undo}")
