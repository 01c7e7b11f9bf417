"""The system packages that tests need: install what is missing, or say how to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def _any_server() -> bool:
    return any(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


def _program(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is not None


NEEDED: dict[str, Callable[[], bool]] = {
    "postgresql": _any_server,
    "openssl": _program("openssl"),
    "util-linux": _program("setpriv"),
    "mmdebstrap": _program("mmdebstrap"),
    "patchelf": _program("patchelf"),
    "systemd-container": _program("systemd-nspawn"),
    "iptables": _program("iptables"),
    "iproute2": _program("ip"),
    "openssh-client": _program("ssh"),
    "gnupg": _program("gpg"),
    "prometheus": _program("prometheus"),
    "prometheus-node-exporter": _program("prometheus-node-exporter"),
    "fuse3": _program("fusermount3"),
    "faketime": _program("faketime"),
    "e2fsprogs": _program("mkfs.ext4"),
    "xfsprogs": _program("mkfs.xfs"),
    "btrfs-progs": _program("mkfs.btrfs"),
    "chromium": _program("chromium"),
    "chromium-driver": _program("chromedriver"),
    "fonts-dejavu-core": lambda: Path("/usr/share/fonts/truetype/dejavu").exists(),
}
"""Debian's packages, each with the way to see that it is there."""

SERVICES = ("prometheus", "prometheus-node-exporter")
"""Those whose services are not to run: tests start processes of their own."""

_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_CLUSTER = "create_main_cluster = false\n"


def missing() -> list[str]:
    """The packages that are not installed."""
    return [package for package, there in NEEDED.items() if not there()]


def main() -> int:
    """Install them as root; as anybody else say the command, and let the tests skip."""
    wanted = missing()
    if not wanted:
        return 0
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *wanted]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print(f"Some tests will be skipped. To run them all: sudo {' '.join(command)}")
        return 0
    _keep_debian_from_starting_a_server()
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "--quiet"], check=True, env=environment)
    with _nothing_started():
        done = subprocess.run([*command, "--quiet"], check=False, env=environment)
    if shutil.which("systemctl"):
        services = [service for service in SERVICES if service in wanted]
        if services:
            subprocess.run(["systemctl", "disable", "--quiet", *services], check=False)
    return done.returncode


@contextmanager
def _nothing_started() -> Iterator[None]:
    """Let no package start its service meanwhile (Debian Policy, 9.3.3.1, invoke-rc.d)."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _keep_debian_from_starting_a_server() -> None:
    """Tests start servers of their own; the package would add one of the system's."""
    configuration = Path("/etc/postgresql-common/createcluster.conf")
    if not configuration.exists():
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(_NO_CLUSTER, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
