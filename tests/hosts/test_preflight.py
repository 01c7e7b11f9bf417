"""A host that cannot become a backup host says why, before anything on it is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from .checkout import Checkout, Play
from .host import Host
from .rootfs import Rootfs

pytestmark = pytest.mark.xdist_group("hosts-preflight")


def test_sudo_that_needs_a_password_is_refused(host: Host, checkout: Checkout) -> None:
    host.ssh("useradd --create-home --groups sudo admin && echo admin:pass | chpasswd")
    host.ssh("cp -r /root/.ssh /home/admin/ && chown -R admin: /home/admin/.ssh")
    checkout.describe("prod", {host.name: {**host.variables(), "ansible_user": "admin"}})
    refused = _refused(checkout, host)
    assert "Root's rights are not to be had on this host" in refused.said
    assert "--ask-become-pass" in refused.said


def test_a_password_for_sudo_passes_it(host: Host, checkout: Checkout) -> None:
    host.ssh("id admin || useradd --create-home --groups sudo admin")
    host.ssh("echo admin:pass | chpasswd; mkdir -p /home/admin/.ssh")
    host.ssh("cp /root/.ssh/authorized_keys /home/admin/.ssh; chown -R admin: /home/admin/.ssh")
    login = {**host.variables(), "ansible_user": "admin", "ansible_become_password": "pass"}
    checkout.describe("prod", {host.name: login}, preflight_free_mb=10**9)
    assert "The disk is full" in _refused(checkout, host).said


def test_a_python_that_is_too_old_is_refused(host: Host, checkout: Checkout) -> None:
    # PyPy, in Debian 12 and Ubuntu 24.04, is a Python 3.9.
    host.ssh("apt-get -q update && apt-get install -qy --no-install-recommends pypy3")
    checkout.describe("prod", {host.name: host.variables()}, preflight_python="/usr/bin/pypy3")
    refused = _refused(checkout, host)
    assert "/usr/bin/pypy3 on this host is 3.9" in refused.said
    assert "Python 3.11 or later" in refused.said


def test_a_python_that_is_not_there_is_refused(host: Host, checkout: Checkout) -> None:
    checkout.describe("prod", {host.name: host.variables()}, preflight_python="python3.99")
    assert "python3.99 on this host is not there" in _refused(checkout, host).said


def test_a_full_disk_is_refused(rootfs: Rootfs, tmp_path: Path) -> None:
    with Host(rootfs, disk="200m") as small:
        checkout = Checkout(tmp_path / "pgbackup", small.state)
        checkout.describe("prod", {small.name: small.variables()})
        refused = _refused(checkout, small)
    assert "The disk is full" in refused.said
    assert "500M are needed" in refused.said


def _refused(checkout: Checkout, host: Host) -> Play:
    """A deployment that fails with nothing of ours on the host."""
    play = checkout.deploy("prod")
    assert play.code == 2, play.said
    assert play.changes == 0, play.changed
    assert host.ssh("ls -d /etc/pgbackup /opt/pgbackup", check=False).stdout == ""
    return play
