"""A disk in memory that knows what has reached it: what was never synced can be forgotten."""

from __future__ import annotations

import errno
import os
import random
import stat
import time
from dataclasses import dataclass, field

Change = tuple[tuple["Node", str, "Node | None"], ...]
"""What one call does to directories, all of it or none: who bears a name from now on."""


@dataclass(eq=False)
class Node:
    """A file or a directory: what programs see of it, and what the disk holds (`saved`)."""

    mode: int
    data: bytearray = field(default_factory=bytearray)
    saved_data: bytes = b""
    entries: dict[str, Node] = field(default_factory=dict)
    saved_entries: dict[str, Node] = field(default_factory=dict)
    changed: float = field(default_factory=time.time)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Disk:
    """A tree of files; every change waits until the file or the directory is synced."""

    def __init__(self) -> None:
        self.root = Node(stat.S_IFDIR | 0o700)
        self._pending: list[Change] = []

    def find(self, path: str) -> Node:
        """The node at an absolute path; raises OSError as the kernel would."""
        node = self.root
        for part in path.split("/"):
            if part:
                if not node.is_directory:
                    raise _error(errno.ENOTDIR)
                if part not in node.entries:
                    raise _error(errno.ENOENT)
                node = node.entries[part]
        return node

    def make(self, path: str, mode: int) -> Node:
        """A new file or directory."""
        parent, name = self._place(path)
        if name in parent.entries:
            raise _error(errno.EEXIST)
        node = Node(mode)
        self._change((parent, name, node))
        return node

    def remove(self, path: str) -> None:
        """Take a file's name, or an empty directory's."""
        parent, name = self._place(path)
        if self.find(path).entries:
            raise _error(errno.ENOTEMPTY)
        self._change((parent, name, None))

    def rename(self, old: str, new: str) -> None:
        """One name for another, in one step."""
        node = self.find(old)
        (parent, name), (target, title) = self._place(old), self._place(new)
        there = target.entries.get(title)
        if there and there.is_directory and there.entries:
            raise _error(errno.ENOTEMPTY)
        self._change((parent, name, None), (target, title, node))

    def write(self, node: Node, data: bytes, offset: int) -> None:
        """Change a file's content; a hole before it is zeros."""
        self.truncate(node, max(len(node.data), offset + len(data)))
        node.data[offset : offset + len(data)] = data

    def truncate(self, node: Node, length: int) -> None:
        """Cut a file off, or lengthen it with zeros."""
        del node.data[length:]
        node.data.extend(bytes(length - len(node.data)))
        node.changed = time.time()

    def sync(self, node: Node) -> None:
        """What a file holds is on the disk; of a directory, the names in it.

        A file's name is not: POSIX asks for its directory's fsync, too.
        """
        if not node.is_directory:
            node.saved_data = bytes(node.data)
            return
        for change in [c for c in self._pending if any(d is node for d, _, _ in c)]:
            self._reach(change)

    def sync_all(self) -> None:
        """Everything is on the disk, as after an orderly shutdown."""
        for change in list(self._pending):
            self._reach(change)
        for node in _nodes(self.root):
            node.saved_data = bytes(node.data)

    def cut(self, chance: random.Random) -> None:
        """The power fails.

        What was synced stays. Of the other changes to directories the first few have reached the
        disk, in their order, as a journal keeps them; of other data all, some or nothing.
        """
        for change in self._pending[
            : chance.choice((0, len(self._pending), chance.randint(0, len(self._pending))))
        ]:
            self._reach(change)
        self._pending.clear()
        for node in _nodes(self.root, saved=True):
            node.entries = dict(node.saved_entries)
            if bytes(node.data) != node.saved_data:
                node.saved_data = _some(node, chance)
            node.data = bytearray(node.saved_data)

    def used(self) -> int:
        """Bytes in all files."""
        return sum(len(node.data) for node in _nodes(self.root))

    def _place(self, path: str) -> tuple[Node, str]:
        parent, _, name = path.rpartition("/")
        return self.find(parent), name

    def _change(self, *parts: tuple[Node, str, Node | None]) -> None:
        self._pending.append(parts)
        for directory, name, node in parts:
            directory.changed = time.time()
            if node is None:
                directory.entries.pop(name, None)
            else:
                directory.entries[name] = node

    def _reach(self, change: Change) -> None:
        """A change is on the disk, and so are the earlier ones of the same names."""
        if change not in self._pending:
            return
        names = {(id(directory), name) for directory, name, _ in change}
        for earlier in self._pending[: self._pending.index(change)]:
            if any((id(directory), name) in names for directory, name, _ in earlier):
                self._reach(earlier)
        self._pending.remove(change)
        for directory, name, node in change:
            if node is None:
                directory.saved_entries.pop(name, None)
            else:
                directory.saved_entries[name] = node


def _nodes(root: Node, *, saved: bool = False) -> list[Node]:
    """Every node of a tree."""
    found, queue = [], [root]
    while queue:
        node = queue.pop()
        found.append(node)
        queue.extend((node.saved_entries if saved else node.entries).values())
    return found


def _some(node: Node, chance: random.Random) -> bytes:
    """What may be left of data that was not synced: all, a part and then zeros, or what was."""
    length = chance.randint(0, len(node.data))
    return chance.choice(
        (
            node.saved_data,
            bytes(node.data),
            bytes(node.data[:length]),
            bytes(node.data[:length]) + bytes(len(node.data) - length),
        )
    )


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
