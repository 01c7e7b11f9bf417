"""SQL text that makes a chat application's database, and those that the benchmark measures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Variant = Literal["vector", "narrow"]

DIMENSIONS = 1536
"""The length of an embedding, as OpenAI's and many other models make them."""

_SCHEMA = Path(__file__).with_name("sampledata.sql")
_EMBEDDING = f"public.vector({DIMENSIONS})"
_EXTENSION = "CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;\n"
_HNSW = """
CREATE INDEX project_knowledge_embedding ON public.project_knowledge
    USING hnsw (embedding public.vector_cosine_ops);
"""

_DROP = """
DROP MATERIALIZED VIEW IF EXISTS public.conversation_totals;
DROP VIEW IF EXISTS public.open_conversations;
DROP TABLE IF EXISTS public.conversation_index, public.project_knowledge, public.messages,
    public.conversations;
DROP FUNCTION IF EXISTS public.note_last_message();
DROP TYPE IF EXISTS public.conversation_status;
"""

# Naming the row draws new numbers for each row, instead of once for all.
_NUMBERS = f"""(
        SELECT array_agg((random() - 0.5)::real) FROM generate_series(1, {DIMENSIONS} + n * 0)
    )"""  # noqa: S608 - a constant of ours
_WORDS = (
    "(string_to_array('the a of to we you backup restore table row index vector answer question "
    "what why when how much little please thanks again now', ' '))[1 + (random() * 23)::int]"
)

_DATA = r"""
SELECT setseed(0.42);

INSERT INTO public.conversations (public_id, title, status, tags, settings, created_at)
SELECT md5('conversation ' || n)::uuid, 'Conversation ' || n,
    (enum_range(NULL::public.conversation_status))[1 + n % 3],
    (ARRAY['billing', 'süß', 'two words', 'a,b', '{{}}', NULL])[1:n % 7],
    jsonb_build_object('model', 'large-' || n % 3, 'temperature', round(random()::numeric, 3)),
    timestamptz '2025-01-01 00:00+00' + n * interval '11 minutes'
FROM generate_series(1, {conversations}) AS n;

-- One message in twenty is what trips a careless reader of COPY's text format.
INSERT INTO public.messages (conversation_id, position, role, content, attachment, created_at)
SELECT c.id, p, (ARRAY['user', 'assistant'])[1 + p % 2],
    CASE WHEN random() < 0.05
    THEN (ARRAY[NULL, '', '\N', E'tab\tline\nreturn\r\\', '日本語 🐘', '\.'])[1 + c.id % 6]
    ELSE (
        SELECT string_agg({word}, ' ')
        FROM generate_series(1, 5 + (random() * 60)::int + p * 0)
    ) END,
    CASE WHEN random() < 0.1 THEN decode(repeat(md5(random()::text), 8), 'hex') END,
    c.created_at + p * interval '17.25 seconds'
FROM public.conversations AS c, generate_series(0, 5 + (c.id % 9)::int) AS p
ORDER BY c.id, p;

INSERT INTO public.project_knowledge (source, chunk, embedding, metadata)
SELECT 'handbook/chapter-' || n % 20 || '.md', repeat('Chunk ' || n || ' of the handbook. ', 8),
    {embedding}, jsonb_build_object('page', n, 'checksum', md5(n::text))
FROM generate_series(1, {embeddings}) AS n;

INSERT INTO public.conversation_index
    (conversation_id, last_message_id, nearest_knowledge_id, summary, embedding)
SELECT c.id, (SELECT max(m.id) FROM public.messages AS m WHERE m.conversation_id = c.id),
    k.id, 'About ' || lower(c.title), k.embedding
FROM public.conversations AS c
LEFT JOIN public.project_knowledge AS k ON k.id = 1 + c.id % {embeddings}
ORDER BY c.id;

REFRESH MATERIALIZED VIEW public.conversation_totals;
"""

# Combining a few hundred random vectors is fifty times quicker than drawing every number, and
# gzip, whose window holds five vectors, finds as little to save.
_VECTORS = r"""
CREATE TEMPORARY TABLE seeds AS
SELECT n, {embedding}::public.vector(1536) AS v,
    (SELECT string_agg({word}, ' ') FROM generate_series(1, 100 + n * 0)) AS words
FROM generate_series(0, 399) AS n;
CREATE TABLE public.embeddings (
    id bigint PRIMARY KEY,
    chunk text NOT NULL,
    embedding public.vector(1536) NOT NULL
);
INSERT INTO public.embeddings
SELECT row, a.words || ' ' || b.words, public.l2_normalize(a.v OPERATOR(public.*) b.v)
FROM generate_series(0, {rows} - 1) AS row
JOIN seeds AS a ON a.n = row % 400
JOIN seeds AS b ON b.n = (row / 400 + row) % 400;
DROP TABLE seeds;
"""
_VECTOR_ROW_BYTES = 9450

_NARROW = """
CREATE TABLE public.accounts (
    id bigint NOT NULL,
    branch int NOT NULL,
    balance int NOT NULL,
    changed timestamptz NOT NULL
);
INSERT INTO public.accounts
SELECT n, n % 100, (random() * 1000000)::int - 500000,
    timestamptz '2025-01-01 00:00+00' + n * interval '1.5 seconds'
FROM generate_series(1, {rows}) AS n;
ALTER TABLE public.accounts ADD PRIMARY KEY (id);
"""
_NARROW_ROW_BYTES = 52


def statements(
    conversations: int, embeddings: int, *, vector: bool = True, replace: bool = False
) -> str:
    """SQL that makes the sample database; with `replace`, after dropping what it makes.

    Run as one query, it is one transaction. Without `vector`, for servers that lack pgvector,
    embeddings are real[] and have no index.
    """
    parts = [schema(vector=vector), data(conversations, embeddings, vector=vector)]
    return "".join([_DROP, *parts] if replace else parts)


def schema(*, vector: bool = True) -> str:
    """SQL that makes the sample database's tables, views, functions and indexes, all empty."""
    text = _SCHEMA.read_text(encoding="utf-8")
    return _EXTENSION + text + _HNSW if vector else text.replace(_EMBEDDING, "real[]")


def data(conversations: int, embeddings: int, *, vector: bool = True) -> str:
    """SQL that fills the empty tables, the same on each run: about ten messages a conversation.

    `embeddings`, one at least, is the number of rows in project_knowledge.
    """
    kind = _EMBEDDING if vector else "real[]"
    return _DATA.format(
        conversations=conversations,
        embeddings=embeddings,
        word=_WORDS,
        embedding=f"{_NUMBERS}::{kind}",
    )


def bench_statements(variant: Variant, megabytes: int) -> str:
    """SQL that makes one table of about that size on disk, indexes left out.

    `vector` has rows of text and an embedding that compresses as badly as a real one; `narrow`
    has rows of four numbers.
    """
    total = megabytes * 1_000_000
    if variant == "narrow":
        return _NARROW.format(rows=total // _NARROW_ROW_BYTES)
    rows = total // _VECTOR_ROW_BYTES
    return _EXTENSION + _VECTORS.format(rows=rows, word=_WORDS, embedding=_NUMBERS)
