"""What is on the disk when: the order in which a run syncs, reads again and renames."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from helpers import backup, progress, verify
from helpers import settings as configuration

from ..running import environment
from ..servers import Database
from .disturbing import FORMATS


@pytest.mark.parametrize("form", FORMATS)
def test_a_backup_is_on_the_disk_before_it_is_read_again_and_bears_its_name(
    small: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    # A fake: nobody can cut the power here. It only writes down in which order things happen.
    said: list[str] = []
    real_sync, real_rename, real_verify = os.fsync, Path.rename, verify.verify

    def sync(descriptor: int) -> None:
        said.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_sync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        said.append(f"rename to {target.name}")
        return real_rename(self, target)

    def reading(*given: object) -> verify.Result:
        said.append("read again")
        return real_verify(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(verify, "verify", reading)
    store = tmp_path / "store"
    store.mkdir()
    environ = environment(small.url, store, BACKUP_FORMAT=form)
    found = configuration.load("test", root=tmp_path, environ=environ)
    name = backup.run(found, progress.Quiet(silent=True), then_prune=False).path.name
    files = {entry.name for entry in (store / name).iterdir()}
    assert files - {"verification.json"} <= set(said[: said.index("read again")])
    after = said[said.index("read again") :]
    assert after[-4:-1] == [f".partial-{name}", f"rename to {name}", "store"]
    assert after[-1] in files  # asked once more of a file: test_store.py says why
    assert f".verification-.partial-{name}" in after
