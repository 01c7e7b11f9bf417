"""The only module that starts processes: list argv, no shell, no secret in argv, stderr kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

GRACE_SECONDS = 5.0
"""How long a process may take to end after SIGTERM: on a dead link pg_dump's own cancel request
hangs for more than a minute."""

_STDERR_LINES = 200


@dataclass(frozen=True)
class Completed:
    """A process that has ended; `errors` is the tail of its stderr."""

    argv: tuple[str, ...]
    returncode: int
    output: str
    errors: str


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    on_error_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run `argv` to its end and return what it said; whatever interrupts us ends it too.

    `env` is added to this process's environment less every PG* variable. Each line of stderr is
    passed to `on_error_line` as it comes.
    """
    tail: deque[str] = deque(maxlen=_STDERR_LINES)
    with tempfile.TemporaryFile() as output, _started(argv, env or {}, output.fileno()) as process:
        for raw in process.stderr or ():
            line = raw.decode(errors="replace").rstrip("\n")
            tail.append(line)
            if on_error_line:
                on_error_line(line)
        process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Completed(tuple(argv), process.returncode, text, "\n".join(tail))


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own environment without PG*, with messages in English, and `extra` on top."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
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
    argv: Sequence[str], env: Mapping[str, str], stdout: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, so that a terminal's Ctrl-C reaches it only through us."""
    process = subprocess.Popen(
        die_with_parent(argv),
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        with process:
            try:
                yield process
            except BaseException:
                _end(process)
                raise
    finally:
        _kill_group(process.pid)


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL after the grace time, to the whole group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _kill_group(process.pid)
        process.wait()


def _kill_group(group: int) -> None:
    """End what is left of a process group: pg_dump's workers after the leader was killed."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
