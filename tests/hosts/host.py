"""A throwaway host: systemd-nspawn boots it in a second, and nothing of it outlives its stop."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path

from . import claims
from .claims import Claim
from .network import Cable
from .rootfs import Rootfs
from .shell import HostError

LAUNCH = Path(__file__).with_name("launch.sh")
START_SECONDS = 30.0
STOP_SECONDS = 10.0
PROGRAMS = ("mmdebstrap", "systemd-nspawn", "unshare", "setpriv", "ip", "iptables", "ssh")


def obstacle() -> str | None:
    """Why this machine cannot make hosts, None if it can."""
    if not Path("/proc/self/ns").exists() or os.geteuid() != 0:
        return "throwaway hosts need Linux and root"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    return f"not installed: {', '.join(absent)} (python -m tests.packages)" if absent else None


def sweep() -> None:
    """Remove what runs that died have left behind."""
    claims.sweep(lambda number: Cable(number).remove())


class Host:
    """A Debian host that SSH reaches as root, a context manager while it runs.

    It shares this machine's network, and so its loopback addresses, unless it has a `cable`.
    `disk` bounds everything that it writes. It ends with the thread that started it.
    """

    def __init__(
        self, root: Rootfs, *, disk: str = "2g", cable: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        self.root, self._disk, self._options = root, disk, options
        self._claim: Claim = claims.claim()
        self.number = self._claim.number
        self.name = f"host{self.number}"
        self.cable = Cable(self.number) if cable else None
        self.address = self.cable.host if self.cable else f"127.0.9.{self.number}"
        self.state = self._claim.directory
        self.known_hosts = self.state / "known_hosts"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Host:
        try:
            self._write()
            self._launch()
            self._await_ssh()
            # Until the boot is over, PAM lets only root log in.
            self.ssh("systemctl is-system-running --wait || :")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def files(self) -> Path:
        """The host's root directory as this machine sees it."""
        return Path(f"/proc/{self.leader}/root")

    @property
    def leader(self) -> int:
        """The pid of the host's systemd: launcher, then nspawn, then systemd."""
        pid = self._started.pid
        for _ in range(2):
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid

    @property
    def ssh_options(self) -> list[str]:
        """What a client needs to log in with our key, and to this very host."""
        settings = {
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": str(self.known_hosts),
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "5",
        }
        return [word for item in settings.items() for word in ("-o", "=".join(item))]

    @property
    def login(self) -> list[str]:
        """The ssh command line of root."""
        return ["ssh", "-i", str(self.root.key), *self.ssh_options, f"root@{self.address}"]

    def ssh(
        self, command: str, *, user: str = "root", check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command; HostError with what it said if it must succeed and does not."""
        done = subprocess.run(
            [*self.login[:-1], f"{user}@{self.address}", command],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        if check and done.returncode:
            raise HostError(
                f"{command!r} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done

    def said(self, command: str) -> str:
        """What a shell command prints, which must succeed."""
        return self.ssh(command).stdout.strip()

    def variables(self) -> dict[str, str]:
        """How Ansible reaches the host."""
        return {
            "ansible_host": self.address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.root.key),
            "ansible_ssh_common_args": shlex.join(self.ssh_options),
        }

    def stop(self) -> None:
        """Shut it down, by force if it takes too long, and remove what it was."""
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self.cable:
            self.cable.remove()
        self._claim.release()

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process, "the host has not been started"
        return self._process

    def _write(self) -> None:
        listen = "0.0.0.0" if self.cable else self.address
        files = {
            "hostname": f"{self.name}\n",
            "hosts": f"127.0.0.1 localhost\n{self.address} {self.name}\n",
            "sshd.conf": f"ListenAddress {listen}\nUseDNS no\n",
            "known_hosts": "".join(f"{self.address} {key}\n" for key in self.root.known_keys),
        }
        for name, text in files.items():
            (self.state / name).write_text(text)

    def _launch(self) -> None:
        ends = (self.cable.host, self.cable.machine) if self.cable else ("", "")
        words = ["setpriv", "--pdeathsig", "TERM", "unshare", "--mount"]
        words += ["--net"] if self.cable else []
        words += ["--propagation", "private", "bash", str(LAUNCH), str(self.number)]
        words += [str(self.root.path), self._disk, *ends, *self._nspawn()]
        with (self.state / "log").open("wb") as log:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdin
        assert self._process.stdout
        with self._process.stdin, self._process.stdout as said:
            if said.readline() != b"ready\n":
                raise HostError(f"{self.name} did not start:\n{self._log()}")
            if self.cable:
                self.cable.plug_in(self._process.pid)

    def _nspawn(self) -> list[str]:
        options = "--quiet --boot --register=no --keep-unit --console=pipe --timezone=off"
        return [
            *("systemd-nspawn", *options.split(), "--link-journal=no", "--resolv-conf=copy-host"),
            *(f"--directory={self.state}/mount/root", f"--machine={self.name}"),
            f"--bind-ro={self.state}/hostname:/etc/hostname",
            f"--bind-ro={self.state}/sshd.conf:/etc/ssh/sshd_config.d/00-host.conf",
            f"--bind={self.state}/hosts:/etc/hosts",
            *self._options,
        ]

    def _await_ssh(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._started.poll() is not None:
                raise HostError(f"{self.name} ended:\n{self._log()}")
            try:
                with socket.create_connection((self.address, 22), 0.3) as connection:
                    connection.settimeout(1)
                    if connection.recv(4) == b"SSH-":
                        return
            except OSError:
                time.sleep(0.03)
        raise HostError(f"{self.name} has no SSH after {START_SECONDS:.0f} s:\n{self._log()}")

    def _log(self) -> str:
        return (self.state / "log").read_text(errors="replace")
