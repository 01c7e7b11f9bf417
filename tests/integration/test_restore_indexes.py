"""The memory and the workers that a restore gives to the building of vector indexes."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.scratch import UNSAFE_BUT_FAST, ScratchServer

from ..servers import Database, Server
from .disturbing import take
from .restoring import Restoring

# The index tells the log what its builders have; the server prefixes it with who they are. ANALYZE
# computes it too.
VECTORS = """
CREATE EXTENSION vector;
CREATE FUNCTION app.seen(id int, embedding public.vector) RETURNS public.vector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF id % 100 = 0 AND current_query() ~ 'CREATE INDEX' THEN
        RAISE LOG 'builds with % and % workers', current_setting('maintenance_work_mem'),
            current_setting('max_parallel_maintenance_workers');
    END IF;
    RETURN embedding;
END $$;
CREATE TABLE app.vectors (id int, embedding public.vector(3), padding text)
    WITH (parallel_workers = 2);
INSERT INTO app.vectors SELECT n, ARRAY[n, n % 7, n % 13]::public.vector, repeat('x', 500)
    FROM generate_series(1, 3000) AS n;
CREATE INDEX nearest ON app.vectors
    USING hnsw ((app.seen(id, embedding)::public.vector(3)) public.vector_l2_ops);
"""


def test_a_vector_index_is_built_with_memory_and_workers(chat: Restoring, tmp_path: Path) -> None:
    chat.source.execute(VECTORS)
    chat.name = take(chat.env, chat.cwd)
    poor = {
        "shared_buffers": "96MB",
        "maintenance_work_mem": "1MB",
        "max_parallel_maintenance_workers": "0",
        "max_parallel_workers": "4",
        "log_line_prefix": "%b: ",
    }
    with ScratchServer(tmp_path / "poor", bound=True, settings=UNSAFE_BUT_FAST | poor) as scratch:
        ran = chat.run(f"--to={scratch.url('vectors')}", to=None, BACKUP_JOBS="2")
        assert ran.code == 0, ran.said
        said = re.findall(r"^(.*): LOG: +builds with (.*)$", scratch.log.read_text(), re.MULTILINE)
        built = Database("vectors", Server(18, scratch)).query(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'app.nearest'::regclass"
        )
    assert built == [(True,)]
    assert {what for _, what in said} == {"48MB and 2 workers"}
    assert "parallel worker" in {who for who, _ in said}
