"""The throwaway hosts themselves."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from tests.running import PROJECT

from . import claims, host
from .host import Host
from .rootfs import Rootfs
from .shell import HostError, works


@pytest.mark.parametrize("cable", [False, True])
def test_a_host_boots_to_a_shell_and_leaves_nothing(rootfs: Rootfs, cable: bool) -> None:
    with Host(rootfs, cable=cable) as running:
        assert running.said("systemctl is-system-running; hostname").split() == [
            "running",
            running.name,
        ]
        assert running.files.joinpath("etc/hostname").read_text().strip() == running.name
        pids = (running.leader, running._started.pid)
    assert not running.state.exists()
    assert not any(works("kill", "-0", str(pid)) for pid in pids)
    assert not works("ip", "link", "show", f"pgbackup{running.number}")


def test_a_cut_cable_lets_nothing_pass(rootfs: Rootfs) -> None:
    with Host(rootfs, cable=True) as running:
        assert running.cable
        running.cable.cut()
        with pytest.raises(OSError, match=r"route|timed out"):
            socket.create_connection((running.address, 22), 1).close()
        running.cable.mend()
        running.ssh("true")


def test_what_a_command_says_is_told_when_it_fails(rootfs: Rootfs) -> None:
    with Host(rootfs) as running, pytest.raises(HostError, match="no such thing"):
        running.ssh("echo no such thing; false")


def test_a_killed_run_leaves_no_host_behind(rootfs: Rootfs) -> None:
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.hosts"],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with started:
        assert started.stdout
        name = started.stdout.readline().split()[0]
        number = int(name.removeprefix("host"))
        started.kill()
    # Systemd takes a moment to shut the host down.
    deadline = time.monotonic() + 10
    while works("pgrep", "--full", f"machine={name}") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not works("pgrep", "--full", f"machine={name}")
    assert (claims.RUN / str(number)).exists()
    host.sweep()
    assert not (claims.RUN / str(number)).exists()
