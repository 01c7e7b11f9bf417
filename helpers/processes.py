"""The only module that starts processes: list argv, no shell, no secret in argv, stderr kept."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from . import interrupts, threads
from .keys import KEYS, OWN_PREFIXES

GRACE_SECONDS = 5.0
"""How long a process may take to end after SIGTERM: on a dead link pg_dump's own cancel request
hangs for more than a minute."""

BLOCK = 1 << 20
"""Bytes that a pipe holds, and that are read from it at once."""

_STDERR_LINES = 200
_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)


@dataclass(frozen=True)
class Completed:
    """A process that has ended; `errors` is the tail of its stderr."""

    argv: tuple[str, ...]
    returncode: int
    output: str
    errors: str


class Group:
    """Processes that several threads started, so that one thread can end them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    @contextmanager
    def member(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Count a process in while it runs; one that comes after the end is ended at once."""
        with self._lock:
            self._running.add(process)
            ended = self._ended
        try:
            if ended:
                _end(process)
            yield
        finally:
            with self._lock:
                self._running.discard(process)

    @property
    def pids(self) -> list[int]:
        """The processes that are running."""
        with self._lock:
            return [process.pid for process in self._running]

    def end(self) -> None:
        """End every process, and every one that is still to come."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for process in running:
            _end(process)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    on_error_line: Callable[[str], None] | None = None,
    group: Group | None = None,
) -> Completed:
    """Run `argv` to its end and return what it said; whatever interrupts us ends it too.

    `env` is added to this process's environment less every setting of ours and of libpq's. Each
    line of stderr is passed to `on_error_line` as it comes.
    """
    tail: deque[str] = deque(maxlen=_STDERR_LINES)
    with (
        tempfile.TemporaryFile() as output,
        _started(argv, env or {}, group, stdout=output, stderr=subprocess.PIPE) as process,
    ):
        threads.beside(_end_workers, process)
        for raw in process.stderr or ():
            line = raw.decode(errors="replace").rstrip("\n")
            tail.append(line)
            if on_error_line:
                on_error_line(line)
        process.wait()
        text = _content(output)
    return Completed(tuple(argv), process.returncode, text, "\n".join(tail))


def pump(
    argv: Sequence[str],
    script: Callable[[str], str],
    sink: Callable[[bytes], None],
    *,
    env: Mapping[str, str],
    group: Group,
) -> Completed:
    """Run a program on a script; the data that it writes to a pipe goes to `sink`.

    `script` is told the pipe's path. Blocks are of BLOCK bytes but for the last.
    """
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb", BLOCK) as data,
        os.fdopen(writing, "wb", 0) as outlet,
        tempfile.TemporaryFile() as feed,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
    ):
        _enlarge(outlet)
        feed.write(script(f"/dev/fd/{writing}").encode())
        feed.seek(0)
        files: dict[str, Any] = {"stdin": feed, "stdout": output, "stderr": errors}
        with _started(argv, env, group, pass_fds=(writing,), **files) as process:
            outlet.close()  # so that the data ends when the program does
            while block := data.read(BLOCK):
                sink(block)
            process.wait()
        said, complained = _content(output), _content(errors)
    return Completed(tuple(argv), process.returncode, said, complained)


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own environment without PG* and our settings, in English, and `extra` on top.

    The scratch server runs as another user: that one could read a DATABASE_URL in it.
    """
    ours = ("PG", *OWN_PREFIXES)
    kept = {k: v for k, v in os.environ.items() if k not in KEYS and not k.startswith(ours)}
    return {**kept, "LC_ALL": "C.UTF-8", **extra}


def start(argv: Sequence[str], *, log: Path) -> subprocess.Popen[bytes]:
    """Start a long-lived process in a session of its own; what it says is appended to `log`.

    It outlives us unless `argv` comes from `die_with_parent`.
    """
    with log.open("ab") as sink:
        return subprocess.Popen(
            argv,
            env=environment({}),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def die_with_parent(argv: Sequence[str], signal_name: str = "KILL") -> list[str]:
    """`argv`, started so that the kernel ends it when the thread that starts it ends (Linux).

    A change of user clears this: drop privileges first, outside of it.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", signal_name, "--", *argv] if setpriv else list(argv)


@contextmanager
def _started(
    argv: Sequence[str], env: Mapping[str, str], group: Group | None, **how: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, so that a terminal's Ctrl-C reaches it only through us.

    If we are killed it gets SIGTERM, not SIGKILL: only that makes pg_dump end its own workers.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with interrupts.held():
            process = subprocess.Popen(
                die_with_parent(argv, "TERM"),
                env=environment(env),
                start_new_session=True,
                **{"stdin": subprocess.DEVNULL, **how},
            )
        with (group or Group()).member(process):
            yield process
    except BaseException:
        if process:
            _end(process)
        raise
    finally:
        if process:
            with process:  # closes its pipes
                if process.returncode:
                    _kill_group(process.pid)  # the workers of a pg_dump that was killed


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL after the grace time, to the whole group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _kill_group(process.pid)
        process.wait()


def _end_workers(process: subprocess.Popen[bytes]) -> None:
    """What a killed program leaves working holds its stderr open, for hours perhaps."""
    process.wait()
    if process.returncode < 0:
        _kill_group(process.pid)


def _kill_group(group: int) -> None:
    """End what is left of a process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _enlarge(pipe: IO[bytes]) -> None:
    """Let the pipe hold a whole block, where the system allows it."""
    if _PIPE_SIZE:
        with suppress(OSError):
            fcntl.fcntl(pipe, _PIPE_SIZE, BLOCK)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
