"""Real file systems on a loop device, which fill up, or die and replay their journal."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from helpers.store import PARTIAL

from .victims import VICTIMS
from .world import CODES, Running, World, grow, wait

SIZE = 400 << 20
"""Bytes of a device; XFS is not made below 300 MB."""

MAKERS = {
    "ext4": ("mkfs.ext4", "-q", "-m", "0"),
    "xfs": ("mkfs.xfs", "-q"),
    "btrfs": ("mkfs.btrfs", "--quiet"),
}
"""How each file system is made."""

DYING = ("ext4", "xfs")
"""Those that can be told to die at once (EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN)."""

_GOING_DOWN = 0x8004587D
_WITHOUT_FLUSHING = 2
"""What has not reached the log is lost, as in a power cut (XFS_FSOP_GOING_FLAGS_NOLOGFLUSH)."""

_PATIENCE = 30.0
_CHUNK = 64 << 20
_GRAIN = 16 << 10


def unavailable(system: str) -> str | None:
    """Why there can be no such file system here; None if there can."""
    maker = MAKERS[system][0]
    if os.geteuid() != 0:
        return "only root can mount"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices"
    if not _program(maker):
        return f"there is no {maker}"
    known = Path("/proc/filesystems").read_text(encoding="utf-8").split()
    loaded = system in known or subprocess.run(["modprobe", "-q", system]).returncode == 0
    return None if loaded else f"the kernel has no {system}"


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class Device:
    """One such file system, mounted; `store` is a directory on it."""

    def __init__(self, place: Path, system: str) -> None:
        self.system = system
        self.image = place / "image"
        self._mounted = place / "mounted"
        self.store = self._mounted / "store"
        self._ballast = self._mounted / "ballast"
        self._mounted.mkdir(parents=True)

    def __enter__(self) -> Device:
        with self.image.open("wb") as file:
            file.truncate(SIZE)
        maker, *options = MAKERS[self.system]
        words = [_program(maker) or maker, *options, str(self.image)]
        subprocess.run(words, check=True, capture_output=True)
        self.up()
        self.store.mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Mount it; a journal is replayed."""
        subprocess.run(["mount", "-o", "loop", str(self.image), str(self._mounted)], check=True)

    def down(self) -> None:
        """Unmount it, once nobody uses it any more."""
        words = ["umount", str(self._mounted)]
        if not wait(lambda: subprocess.run(words, capture_output=True).returncode == 0, _PATIENCE):
            raise RuntimeError(f"{self._mounted} is in use")

    def die(self) -> None:
        """Let nothing reach the device from now on; what has not been synced is lost."""
        descriptor = os.open(self._mounted, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _GOING_DOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(descriptor)

    def fill(self, room: int) -> None:
        """Leave so many bytes free, or a little less."""
        with self._ballast.open("wb") as file:
            end, size = 0, _CHUNK
            while size >= _GRAIN:
                try:
                    os.posix_fallocate(file.fileno(), end, size)
                    end += size
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
            file.truncate(max(0, end - room))

    def empty(self) -> None:
        """There is room again."""
        with suppress(FileNotFoundError):
            self._ballast.unlink()
        # Btrfs gives the room back only when it commits.
        subprocess.run(["sync", "--file-system", str(self._mounted)], check=True)


def disturb(world: World, device: Device) -> tuple[str, Iterator[str]]:
    """It fills up under a run, or dies."""
    name = world.chance.choice(list(VICTIMS))
    if device.system in DYING and world.chance.random() < 0.5:
        return f"{device.system} that dies during {name}", _died(world, device, name)
    return f"{device.system} that fills up during {name}", _filled(world, device, name)


def _filled(world: World, device: Device, name: str) -> Iterator[str]:
    victim = VICTIMS[name]
    victim.prepare(world)
    before = world.before()
    room = world.chance.choice((0, world.chance.randint(0, 1 << 20)))
    with world.begun(*victim.words) as running:
        _moment(world, name, running)
        device.fill(room)
        ended = running.end()
    device.empty()
    yield from ended.faults(CODES)
    yield from world.told(name, ended.code, before)
    yield from victim.after(world)
    yield from world.settled(before, may_delete=victim.deletes, crashed=True)
    grow(world)


def _died(world: World, device: Device, name: str) -> Iterator[str]:
    victim = VICTIMS[name]
    victim.prepare(world)
    before = world.before()
    with world.begun(*victim.words) as running:
        _moment(world, name, running)
        device.die()
        ended = running.end()
    device.down()
    device.up()
    yield from ended.faults(CODES)
    if ended.published and not (world.store / ended.published).exists():
        yield f"{ended.published} was reported, and is not there since the file system died"
    yield from victim.after(world)
    yield from world.settled(before, may_delete=victim.deletes, crashed=True)
    grow(world)


def _moment(world: World, name: str, running: Running) -> None:
    """A run is under way; a backup has begun to write."""
    if name.startswith("backup"):
        wait(lambda: running.over or list(world.store.glob(f"{PARTIAL}*")), _PATIENCE)
        time.sleep(world.chance.uniform(0, 0.6))
    else:
        time.sleep(world.chance.uniform(0.3, 2.0))
