"""A store whose disk is not mounted is told from one that is empty."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import mounts
from helpers.errors import StorageError
from helpers.store import Store

from .running import argv, environment


@pytest.fixture
def fstab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of its own in place of this machine's; it names nothing yet."""
    table = tmp_path / "fstab"
    table.write_text("# /proc is named in a comment only\n\nUUID=1 / ext4 defaults 0 1\n")
    monkeypatch.setattr(mounts, "FSTAB", table)
    return table


@pytest.fixture
def disk(tmp_path: Path, fstab: Path) -> Path:
    """A mount point in the table, with a blank in its name; nothing is mounted there."""
    point = tmp_path / "a disk"
    point.mkdir()
    with fstab.open("a") as file:
        file.write(f"/dev/sdz1 {str(point).replace(' ', chr(92) + '040')} ext4 nofail 0 2\n")
        file.write("/dev/sdz2 none swap sw 0 0\nbroken\n")
    return point


@pytest.fixture
def mounted(disk: Path) -> Iterator[Path]:
    """The same, mounted."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.usefixtures("fstab")
def test_a_directory_that_no_table_names_is_where_it_belongs(tmp_path: Path) -> None:
    assert mounts.missing(tmp_path) is None


@pytest.mark.parametrize("below", ["", "prod", "prod/not/there/yet"])
def test_what_is_not_mounted_is_named(disk: Path, below: str) -> None:
    assert mounts.missing(disk / below) == disk


def test_a_link_to_what_is_not_mounted_is_followed(disk: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(disk)
    assert mounts.missing(link / "prod") == disk


def test_a_store_on_a_disk_that_is_not_mounted_is_refused_and_untouched(disk: Path) -> None:
    (disk / "chat_test_20260304T120000Z").mkdir()
    for ask in (Store(disk).check, Store(disk).names, lambda: Store(disk).sweep("chat_test")):
        with pytest.raises(StorageError, match="is not mounted") as caught:
            ask()
        assert f"mount {disk}" in caught.value.do
    assert [one.name for one in disk.iterdir()] == ["chat_test_20260304T120000Z"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may have an fstab of its own")
@pytest.mark.parametrize("verb", ["list", "prune", "status", "backup"])
def test_every_verb_says_so_of_the_real_table(disk: Path, fstab: Path, verb: str) -> None:
    own = ["unshare", "--mount", "sh", "-c", f'mount --bind "{fstab}" /etc/fstab && exec "$@"', "-"]
    done = subprocess.run(
        [*own, *argv(verb)],
        env=environment("postgresql://nobody@127.0.0.1:1/chat", disk),
        cwd=disk.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == (8 if verb == "status" else StorageError.exit_code), done.stderr
    assert f"{disk} is not mounted, but in fstab" in done.stdout + done.stderr
    # the record of the failure is all that is written
    assert {one.name for one in disk.iterdir()} <= {".runs-test.jsonl"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_what_is_mounted_is_well_and_so_is_what_is_mounted_below(mounted: Path) -> None:
    (mounted / "prod").mkdir()
    assert mounts.missing(mounted / "prod") is None
    Store(mounted / "prod").check()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_disk_of_its_own_below_one_that_is_not_mounted_is_well(disk: Path) -> None:
    inner = disk / "inner"
    inner.mkdir()
    subprocess.run(["mount", "--bind", inner, inner], check=True)
    try:
        assert mounts.missing(inner / "prod") is None
        assert mounts.missing(disk / "prod") == disk
    finally:
        subprocess.run(["umount", inner], check=True)


@pytest.mark.parametrize("table", ["FSTAB", "MOUNTED"])
def test_without_one_of_the_tables_nobody_knows(
    disk: Path, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, table, disk / "absent")
    assert mounts.missing(disk) is None
