"""End a program that computes without a pause and neither reads nor writes: it loops (Linux)."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import threads
from .processes import Group

_POLL_SECONDS = 0.5


@contextmanager
def guard(group: Group, cpu_seconds: float) -> Iterator[threading.Event]:
    """End the group once one of it has used so many seconds of CPU between two transfers.

    The event tells whether that has happened. A wait for a slow disk uses no CPU and may last.
    """
    looped, over = threading.Event(), threading.Event()
    watch = threads.beside(_watch, group, cpu_seconds, looped, over)
    try:
        yield looped
    finally:
        over.set()
        watch.join()


def _watch(
    group: Group, cpu_seconds: float, looped: threading.Event, over: threading.Event
) -> None:
    last: dict[int, tuple[int, float]] = {}
    while not over.wait(_POLL_SECONDS):
        for pid in group.pids:
            try:
                transferred, used = _transferred(pid), _cpu_seconds(pid)
            except (OSError, ValueError, IndexError):
                continue  # it has just ended, or this system does not say
            before, since = last.setdefault(pid, (transferred, used))
            if transferred != before:
                last[pid] = (transferred, used)
            elif used - since >= cpu_seconds:
                looped.set()
                group.end()
                return


def _transferred(pid: int) -> int:
    """Bytes that a process has read and written so far (proc(5): /proc/pid/io)."""
    lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("rchar", "wchar")))


def _cpu_seconds(pid: int) -> float:
    """What a process has used of the CPU, in user and in system mode (proc(5): /proc/pid/stat)."""
    behind_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return (int(behind_name[11]) + int(behind_name[12])) / os.sysconf("SC_CLK_TCK")
