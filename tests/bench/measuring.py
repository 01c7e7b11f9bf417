"""Time a command, and watch how much memory it and its children hold."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

_EVERY = 0.05
_BACKENDS_END = 0.2


@dataclass(frozen=True)
class Measured:
    """One run: wall-clock seconds, processor seconds of ours and of the server, peak memory."""

    seconds: float
    cpu: float
    server_cpu: float
    memory: int


def measure(argv: Sequence[str], env: Mapping[str, str], postmaster: int | None) -> Measured:
    """Run a command that must succeed; memory is the process tree's private and shared bytes."""
    before, server_before = os.times(), _ended_children(postmaster)
    started = time.perf_counter()
    process = subprocess.Popen(
        argv, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    peak = _Peak(process.pid)
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{argv[0]} failed with exit code {process.returncode}:\n{output}")
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    memory = peak.stop()
    time.sleep(_BACKENDS_END)
    return Measured(seconds, cpu, _ended_children(postmaster) - server_before, memory)


def _ended_children(postmaster: int | None) -> float:
    """Processor seconds of the backends that the server has seen end."""
    times = psutil.Process(postmaster).cpu_times()
    return float(times.children_user + times.children_system)


class _Peak:
    """Samples the memory of a process and its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        self._done.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(_EVERY):
            self._peak = max(self._peak, _held(self._pid))


def _held(pid: int) -> int:
    """Proportional set size, so that what processes share is counted once (Linux's smaps)."""
    held = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.Error):
                held += process.memory_full_info().pss
    return held
