"""The databases that are measured."""

from __future__ import annotations

from helpers import sampledata

VARIANTS = {
    "vector": "two tables of text and vector(1536) embeddings",
    "text": "messages of some 1.3 kB of words",
    "narrow": "rows of four numbers",
    "small": "2,000 tables of 20 rows",
}

_SECOND = """
CREATE TABLE public.summaries (LIKE public.embeddings INCLUDING ALL);
INSERT INTO public.summaries SELECT * FROM public.embeddings;
"""

_TEXT = r"""
CREATE TEMPORARY TABLE sentences AS
SELECT n, (SELECT string_agg(substr(md5((n * 200 + w)::text), 1, 2 + w % 9), ' ')
    FROM generate_series(1, 110) AS w) AS words
FROM generate_series(0, 999) AS n;
CREATE TABLE public.messages (
    id bigint PRIMARY KEY, conversation_id bigint NOT NULL, role text NOT NULL,
    content text NOT NULL, created_at timestamptz NOT NULL
);
INSERT INTO public.messages
SELECT row, row / 10, CASE row % 2 WHEN 0 THEN 'user' ELSE 'assistant' END,
    row || ': ' || a.words || b.words,
    timestamptz '2026-01-01 00:00+00' + row * interval '1 second'
FROM generate_series(0, {rows} - 1) AS row
JOIN sentences AS a ON a.n = row % 1000
JOIN sentences AS b ON b.n = (row / 1000 + row) % 1000;
DROP TABLE sentences;
"""
_TEXT_ROW_BYTES = 1500

_SMALL = """
DO $$ BEGIN
FOR n IN 1 .. 2000 LOOP
    EXECUTE format('CREATE TABLE public.small_%s (id int PRIMARY KEY, body text)', n);
    EXECUTE format('INSERT INTO public.small_%s SELECT i, md5(i::text)'
        ' FROM generate_series(1, 20) AS i', n);
END LOOP; END $$
"""


def statements(variant: str, megabytes: int) -> str:
    """SQL that makes a database of about that size (2,000 small tables have their own)."""
    if variant == "vector":
        return sampledata.bench_statements("vector", megabytes // 2) + _SECOND
    if variant == "text":
        return _TEXT.format(rows=megabytes * 1_000_000 // _TEXT_ROW_BYTES)
    return _SMALL if variant == "small" else sampledata.bench_statements("narrow", megabytes)
