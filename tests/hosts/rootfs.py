"""The file system that every throwaway host starts from: built once with mmdebstrap, and kept.

It is the distribution of this machine in its smallest form, with this machine's own package
sources and certificates, which are read when it is built and are in no file of the project.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from .shell import run

CACHE = Path(os.environ.get("PGBACKUP_TESTS_CACHE", "/var/cache/pgbackup-tests"))

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo"),
    *("python3", "python3-apt", "ca-certificates", "iproute2", "procps", "libfaketime"),
)
"""What a small server of a provider has, and libfaketime; the rest is for the roles to install."""

RECIPE = 1
"""Counted up when the steps of `build` change, so that no cache keeps what the old ones made."""

_SOURCES = ("debian.sources", "ubuntu.sources")
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_OPTIONS = (
    '--aptopt=Acquire::Check-Valid-Until "false"',
    '--aptopt=Acquire::Check-Date "false"',
    '--aptopt=Acquire::Languages "none"',
    *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("man", "doc", "locale")),
)


@dataclass(frozen=True)
class Rootfs:
    """A complete root directory, never written to again, and the key that opens its hosts."""

    path: Path

    @property
    def key(self) -> Path:
        return self.path.with_suffix(".key")

    @property
    def known_keys(self) -> list[str]:
        """The public host keys, each as `type key`."""
        files = sorted((self.path / "etc/ssh").glob("ssh_host_*_key.pub"))
        return [" ".join(file.read_text().split()[:2]) for file in files]


def build() -> Rootfs:
    """The root file system, built in half a minute if this machine has none yet."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    bundle = _BUNDLE.read_text() if _BUNDLE.exists() else ""
    made_of = "|".join((suite, *PACKAGES, *_OPTIONS, bundle, str(RECIPE)))
    name = f"{suite}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    CACHE.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = Rootfs(CACHE / name)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.path.exists():
            _build(root, suite, bundle)
    return root


def _build(root: Rootfs, suite: str, bundle: str) -> None:
    unfinished = Rootfs(root.path.with_name(f"new-{root.path.name}"))
    shutil.rmtree(unfinished.path, ignore_errors=True)
    places = [Path("/etc/apt/sources.list.d") / name for name in _SOURCES]
    words = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", "--format=directory"]
    words += [f"--include={','.join(PACKAGES)}", *_OPTIONS, suite, str(unfinished.path)]
    run(*words, *(place for place in places if place.exists()))
    _trust(unfinished.path, bundle)
    _open_with(root.key, unfinished.path)
    # A fresh minimal image has empty lists that count as just updated: a trap for the roles.
    os.utime(unfinished.path / "var/lib/apt/lists", (0, 0))
    for name in ("etc/hostname", "etc/resolv.conf"):
        (unfinished.path / name).unlink(missing_ok=True)
        (unfinished.path / name).touch()
    unfinished.path.rename(root.path)


def _trust(path: Path, bundle: str) -> None:
    """Trust what this machine trusts, in a way that outlives the host's update-ca-certificates."""
    known = set(_PEM.findall((path / "etc/ssl/certs/ca-certificates.crt").read_text()))
    place = path / "usr/local/share/ca-certificates"
    place.mkdir(parents=True, exist_ok=True)
    for number, certificate in enumerate(pem for pem in _PEM.findall(bundle) if pem not in known):
        (place / f"machine-{number}.crt").write_text(f"{certificate}\n")
    run("chroot", path, "update-ca-certificates")


def _open_with(key: Path, path: Path) -> None:
    key.unlink(missing_ok=True)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "throwaway", "-f", key)
    (path / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(f"{key}.pub", path / "root/.ssh/authorized_keys")
    (path / "root/.ssh/authorized_keys").chmod(0o600)
