from __future__ import annotations

import gzip

import pytest

from helpers import sampledata

from .servers import Database

ORPHANS = """
SELECT count(*) FROM conversation_index AS i
LEFT JOIN messages AS m ON m.id = i.last_message_id AND m.conversation_id = i.conversation_id
LEFT JOIN project_knowledge AS k ON k.id = i.nearest_knowledge_id
WHERE m.id IS NULL OR k.id IS NULL
"""


def counts(database: Database) -> dict[str, int]:
    tables = ("conversations", "messages", "project_knowledge", "conversation_index")
    return {table: database.query(f"SELECT count(*) FROM {table}")[0][0] for table in tables}


def test_the_sample_database_has_the_rows_that_were_asked_for(any_database: Database) -> None:
    vector = any_database.server.has_vector
    any_database.execute(sampledata.statements(90, 40, vector=vector))
    assert counts(any_database) == {
        "conversations": 90,
        "messages": 900,
        "project_knowledge": 40,
        "conversation_index": 90,
    }
    assert any_database.query(ORPHANS) == [(0,)]
    assert any_database.query("SELECT sum(messages) FROM conversation_totals") == [(900,)]
    assert any_database.query(
        "SELECT count(*) FROM conversations WHERE last_message_at IS NULL"
    ) == [(0,)]


def test_the_same_data_comes_out_each_time(database: Database) -> None:
    digest = """
        SELECT (SELECT md5(string_agg(m::text, '' ORDER BY id)) FROM messages AS m),
            (SELECT md5(string_agg(k::text, '' ORDER BY id)) FROM project_knowledge AS k)
    """
    database.execute(sampledata.statements(30, 20))
    first = database.query(digest)
    database.execute(sampledata.statements(30, 20, replace=True))
    assert database.query(digest) == first


def test_each_embedding_is_another_one(database: Database) -> None:
    database.execute(sampledata.statements(10, 50))
    assert database.query("SELECT count(DISTINCT embedding) FROM project_knowledge") == [(50,)]


def test_the_vector_index_answers_a_search(database: Database) -> None:
    database.execute(sampledata.statements(10, 600))
    search = """
        SELECT id FROM project_knowledge
        ORDER BY embedding <=> (SELECT embedding FROM project_knowledge WHERE id = 77) LIMIT 1
    """
    plan = "\n".join(line for (line,) in database.query(f"EXPLAIN {search}"))
    assert "Index Scan using project_knowledge_embedding" in plan
    assert database.query(search) == [(77,)]


@pytest.mark.parametrize(("variant", "table"), [("vector", "embeddings"), ("narrow", "accounts")])
def test_a_benchmark_table_has_about_the_size_asked_for(
    database: Database, variant: sampledata.Variant, table: str
) -> None:
    database.execute(sampledata.bench_statements(variant, 30))
    size = database.query(f"SELECT pg_table_size('{table}')")[0][0]
    assert size == pytest.approx(30_000_000, rel=0.1)


def test_benchmark_embeddings_hardly_compress(database: Database) -> None:
    database.execute(sampledata.bench_statements("vector", 5))
    with (
        database.connect() as connection,
        connection.cursor().copy("COPY embeddings (embedding) TO STDOUT (FORMAT binary)") as copy,
    ):
        copied = b"".join(bytes(block) for block in copy)
    assert len(gzip.compress(copied)) / len(copied) > 0.85
