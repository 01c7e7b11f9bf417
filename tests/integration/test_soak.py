"""The short form of `make soak`: a few rounds of the small case on each server."""

from __future__ import annotations

from pathlib import Path

from ..servers import Server
from ..soak import rounds


def test_backups_under_writers_and_ddl_hold_one_snapshot_and_restore_with_their_foreign_keys(
    any_server: Server, tmp_path: Path
) -> None:
    found = rounds.run(any_server.scratch, 7, tmp_path)
    assert not found.wrong
    assert not found.refused
    assert found.right == 7
