"""Fields of 100 MB: restored as they were, and never held whole by us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..running import PROJECT, environment
from ..servers import Database

MEGABYTES = 100
ROOM_KIB = 96 << 10
"""What the program may take besides itself; the stock client holds a row, and no less."""

CODE = """
import os
from pathlib import Path
from helpers import backup, progress, settings
def peak(): return int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])
found = settings.load("test", root=Path(), environ=os.environ)
before = peak()
path = backup.run(found, progress.Quiet(silent=True), then_prune=False).path
print(peak() - before, path)
"""


def test_fields_of_a_hundred_megabytes_are_restored_and_memory_stays_flat(
    database: Database, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE large (kind text, body bytea, words text)")
    with database.connect() as connection:
        noise = os.urandom(MEGABYTES << 20)
        connection.execute("INSERT INTO large VALUES ('noise', %b)", [noise])
    repeats = (MEGABYTES << 20) // 8
    database.execute(f"INSERT INTO large VALUES ('text', NULL, repeat('größe\\\\', {repeats}))")
    store = tmp_path / "store"
    store.mkdir()
    env = environment(database.url, store)
    argv = [sys.executable, "-c", CODE]
    done = subprocess.run(argv, env=env, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    grown, place = done.stdout.split()
    assert int(grown) < ROOM_KIB
    query = "SELECT kind, length(body), sha256(body), length(words), md5(words) FROM large"
    with database.server.database() as target:
        tool = f"{database.server.bin_dir}/pg_restore"
        subprocess.run([tool, "--exit-on-error", f"--dbname={target.url}", place], check=True)
        assert target.query(query) == database.query(query)
