"""A file system (FUSE) on such a disk, which forgets, refuses or stalls when it is told to.

Run as a program it serves one mount until it is unmounted: python -m tests.chaos.forgetful.
"""

from __future__ import annotations

import errno
import functools
import itertools
import json
import os
import pickle
import random
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mfusepy

from .disk import Disk, Node

CONTROL = "/.control"
"""Writing a Plan here arms it; reading tells how many operations there have been. No listing
shows it."""

_ANSWER = 80
BLOCK = 4096
ROOM = 1 << 40


@dataclass(frozen=True)
class Plan:
    """What shall go wrong once `after` more operations of the kinds in `kinds` (or any) are done.

    cut: the power fails, and whatever comes then is refused. refuse: with `error`, `times` times.
    full: no byte more fits after `after` bytes. stall: one operation takes `seconds`.
    """

    what: str = "nothing"
    after: int = 0
    kinds: tuple[str, ...] = ()
    error: int = errno.EIO
    times: int = 1 << 30
    seconds: float = 0.0
    seed: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def _counted(work: Callable[..., Any]) -> Callable[..., Any]:
    """An operation that the plan may disturb; one at a time."""

    @functools.wraps(work)
    def wrapped(self: Forgetful, path: str, *args: Any) -> Any:
        # Without the root's attributes the kernel would not even reach CONTROL.
        if path != CONTROL and (path, work.__name__) != ("/", "getattr"):
            time.sleep(self.disturb(work.__name__))
        with self._guard:
            return work(self, path, *args)

    return wrapped


class Forgetful(mfusepy.Operations):
    """The operations that a store needs; `image` is where the disk is kept between mounts."""

    use_ns = True

    def __init__(self, image: Path) -> None:
        self._guard = threading.RLock()
        self._image = image
        self._disk: Disk = pickle.loads(image.read_bytes()) if image.exists() else Disk()
        self._open: dict[int, Node] = {}
        self._numbers = itertools.count(1)
        self._plan = Plan()
        self._left = 0
        self._times = 0
        self._operations = 0
        self._struck = 0
        self._is_cut = False

    def disturb(self, kind: str) -> float:
        """Count an operation and let the plan act; how long it shall take."""
        with self._guard:
            if self._is_cut:
                raise _error(errno.EIO)
            self._operations += 1
            plan = self._plan
            if plan.what in {"nothing", "full"} or (plan.kinds and kind not in plan.kinds):
                return 0
            self._left -= 1
            if self._left >= 0:
                return 0
            if plan.what == "cut":
                self._cut()
            if self._times:
                self._times -= 1
                self._struck += 1
                if plan.what == "stall":
                    return plan.seconds
                raise _error(plan.error)
        return 0

    def _cut(self) -> None:
        self._disk.cut(random.Random(self._plan.seed))
        self._is_cut = True
        self._save()
        raise _error(errno.EIO)

    def _save(self) -> None:
        temporary = self._image.with_suffix(".new")
        temporary.write_bytes(pickle.dumps(self._disk))
        temporary.replace(self._image)

    def destroy(self, path: str) -> None:
        if not self._is_cut:
            self._disk.sync_all()
            self._save()

    def _control(self, data: bytes) -> None:
        given = json.loads(data)
        self._plan = Plan(**{**given, "kinds": tuple(given["kinds"])})
        self._left, self._times = self._plan.after, self._plan.times
        if self._plan.what != "nothing":
            self._struck = 0
        if self._plan.what == "cut" and self._plan.after < 0:
            self._cut()

    def _node(self, path: str, handle: int | None) -> Node:
        return self._open[handle] if handle in self._open else self._disk.find(path)

    @_counted
    def getattr(self, path: str, handle: int | None = None) -> dict[str, Any]:
        if path == CONTROL:
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": _ANSWER}
        node = self._node(path, handle)
        return {
            "st_mode": node.mode,
            "st_nlink": 1,
            "st_size": len(node.data),
            "st_uid": os.getuid(),
            "st_gid": os.getgid(),
            **dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), int(node.changed * 1e9)),
        }

    @_counted
    def readdir(self, path: str, handle: int) -> list[str]:
        return [".", "..", *self._disk.find(path).entries]

    @_counted
    def create(self, path: str, mode: int, flags: int = 0) -> int:
        node = self._disk.make(path, stat.S_IFREG | (mode & 0o7777))
        return self._handle(node)

    @_counted
    def open(self, path: str, flags: int) -> int:
        if path == CONTROL:
            return 0
        node = self._disk.find(path)
        if flags & os.O_TRUNC:
            self._disk.truncate(node, 0)
        return self._handle(node)

    def _handle(self, node: Node) -> int:
        number = next(self._numbers)
        self._open[number] = node
        return number

    @_counted
    def read(self, path: str, size: int, offset: int, handle: int) -> bytes:
        if path == CONTROL:
            answer = json.dumps({"operations": self._operations, "struck": self._struck})
            return answer.ljust(_ANSWER).encode()[offset : offset + size]
        return bytes(self._node(path, handle).data[offset : offset + size])

    @_counted
    def write(self, path: str, data: bytes, offset: int, handle: int) -> int:
        if path == CONTROL:
            self._control(data)
            return len(data)
        room = len(data)
        if self._plan.what == "full":
            room = min(room, self._left)
            self._left -= room
            if not room:
                raise _error(self._plan.error)
        self._disk.write(self._node(path, handle), data[:room], offset)
        return room

    @_counted
    def truncate(self, path: str, length: int, handle: int | None = None) -> int:
        if path != CONTROL:
            self._disk.truncate(self._node(path, handle), length)
        return 0

    @_counted
    def fsync(self, path: str, datasync: int, handle: int) -> int:
        self._disk.sync(self._node(path, handle))
        return 0

    @_counted
    def fsyncdir(self, path: str, datasync: int, handle: int) -> int:
        self._disk.sync(self._disk.find(path))
        return 0

    def release(self, path: str, handle: int) -> int:
        with self._guard:
            self._open.pop(handle, None)
        return 0

    @_counted
    def mkdir(self, path: str, mode: int) -> int:
        self._disk.make(path, stat.S_IFDIR | (mode & 0o7777))
        return 0

    @_counted
    def unlink(self, path: str) -> int:
        self._disk.remove(path)
        return 0

    @_counted
    def rmdir(self, path: str) -> int:
        self._disk.remove(path)
        return 0

    @_counted
    def rename(self, old: str, new: str) -> int:
        self._disk.rename(old, new)
        return 0

    @_counted
    def chmod(self, path: str, mode: int) -> int:
        node = self._disk.find(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return 0

    @_counted
    def statfs(self, path: str) -> dict[str, int]:
        full = self._plan.what == "full" and not self._left
        free = 0 if full else ROOM // BLOCK
        return {
            "f_bsize": BLOCK,
            "f_frsize": BLOCK,
            "f_blocks": ROOM // BLOCK,
            "f_bfree": free,
            "f_bavail": free,
            "f_namemax": 255,
        }


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


if __name__ == "__main__":
    mfusepy.FUSE(
        Forgetful(Path(sys.argv[1])),
        sys.argv[2],
        foreground=True,
        fsname="forgetful",
        default_permissions=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
    )
