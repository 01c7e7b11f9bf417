"""Env files: which of them describe the environment, and what they and the process say."""

from __future__ import annotations

import difflib
import io
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream

from .conninfo import flaw
from .keys import KEYS, OWN_PREFIXES

PROCESS: Final = "the process environment"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")
_NOT_ENVIRONMENTS: Final = frozenset(
    {"example", "sample", "template", "dist", "bak", "old", "orig", "swp"}
)
"""Endings of templates and of what editors leave behind: `.env.example` describes nothing."""


@dataclass(frozen=True)
class Entry:
    """A key's value, and the source and line that gave it."""

    key: str
    value: str
    source: str
    line: int | None = None

    @property
    def where(self) -> str:
        """The source and line, for people."""
        return f"{self.source} line {self.line}" if self.line else self.source

    def __repr__(self) -> str:
        return f"Entry({self.key}, {self.where})"


def choose(
    env: str | None, root: Path, environ: Mapping[str, str], host_dir: Path, problems: list[str]
) -> tuple[str, list[Path]]:
    """The environment that is meant and the files that describe it; "" after a problem.

    An argument or BACKUP_ENV of the process names it; else the files that exist must all be of
    one environment. A file whose BACKUP_ENV names the environment describes it too.
    """
    claims = [("--env", env)] if env else []
    claims += [(PROCESS, environ["BACKUP_ENV"])] if environ.get("BACKUP_ENV") else []
    present = _present(root, host_dir, claims[0][1] if claims else "")
    names = {name for _, name in claims} or {name for name, _ in present.values()}
    if not claims and len(names) != 1:
        found = "; ".join(f"{path} is of {name}" for path, (name, _) in present.items())
        problems.append(
            f"No environment is named, and {found or 'no env file to read was found'} (looked for "
            f"{root}/.env.local, {root}/.env, {root}/.env.<name>, {host_dir}/<name>.env)"
        )
        return "", []
    name = claims[0][1] if claims else next(iter(names))
    files = [
        path
        for path, (its, inside) in present.items()
        if path in expected(name, root, host_dir) or (inside and its == name)
    ]
    claims += [(f"{path} (BACKUP_ENV)", present[path][1]) for path in files if present[path][1]]
    if len({claimed for _, claimed in claims}) > 1:
        said = ", ".join(f"{source} says {claimed!r}" for source, claimed in claims)
        problems.append(f"The environment is named differently: {said}")
        return "", []
    if not _is_name(name):
        problems.append(
            f"{name!r} cannot be an environment's name: letters, digits and hyphens, a letter "
            f"first, at most 32, and none of {', '.join(sorted(_NOT_ENVIRONMENTS))}"
        )
        return "", []
    return name, files


def described(root: Path, host_dir: Path) -> list[str]:
    """The environments that have an env file."""
    return sorted({name for name, _ in _present(root, host_dir, "").values()})


def describe(environment: str, root: Path, host_dir: Path) -> bool:
    """Whether there are files of an environment, even if we may not read them."""
    files = expected(environment, root, host_dir)
    return any(map(_exists, files)) or environment in described(root, host_dir)


def expected(environment: str, root: Path, host_dir: Path) -> list[Path]:
    """The files that describe an environment by their names."""
    shared = {"dev": [root / ".env.local"], "prod": [root / ".env"]}.get(environment, [])
    return [root / f".env.{environment}", *shared, host_dir / f"{environment}.env"]


def _present(root: Path, host_dir: Path, named: str) -> dict[Path, tuple[str, str]]:
    """Env files that exist, the environment of each, and the BACKUP_ENV inside.

    Those of the environment that is `named` are found in a directory that cannot be listed, too;
    others of a backup host only where we may read them, since each is for its own user.
    """
    files = expected(named, root, host_dir) if _is_name(named) else []
    found = dict.fromkeys(files, named)
    for path in sorted(root.glob(".env.*")):
        found[path] = path.name.removeprefix(".env.")
    found |= {root / ".env.local": "dev", root / ".env": "prod"}
    readable = (path for path in sorted(host_dir.glob("*.env")) if os.access(path, os.R_OK))
    found |= {path: path.stem for path in readable}
    present = {}
    for path, name in found.items():
        if _is_name(name) and _exists(path):
            inside = read(path, []).get("BACKUP_ENV")
            said = inside.value if inside else ""
            present[path] = (said or name, said)
    return present


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # it may be there: reading it says why nobody can tell
    return True


def _is_name(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and name not in _NOT_ENVIRONMENTS


def text(path: Path, problems: list[str]) -> str:
    """A file's text; "" and a problem if it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            problems.append(f"{path}: is not a file")
            return ""
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror})")
    except ValueError:
        problems.append(f"{path}: is not UTF-8 text")
    return ""


def read(path: Path, problems: list[str]) -> dict[str, Entry]:
    """A file's entries, without those that are empty; nothing in a value is expanded."""
    entries: dict[str, Entry] = {}
    for binding in parse_stream(io.StringIO(text(path, problems))):
        written = binding.original.string
        blank = written[: len(written) - len(written.lstrip())]
        line = binding.original.line + len(re.findall(r"\r\n|\n|\r", blank))
        if binding.error:
            problems.append(f"{path} line {line}: is not KEY=value; is a quote left open?")
        elif binding.key and binding.value:
            entry = Entry(binding.key, binding.value, str(path), line)
            first = entries.setdefault(entry.key, entry)
            if first.value != entry.value and _is_ours(entry.key):
                problems.append(f"{entry.where}: {entry.key} differs from line {first.line}")
    return entries


def merge(
    files: Iterable[Path], environ: Mapping[str, str], problems: list[str]
) -> dict[str, Entry]:
    """All files' entries that concern us; the process environment overrides key by key."""
    process = {key: Entry(key, value, PROCESS) for key, value in environ.items() if value}
    merged: dict[str, Entry] = {}
    for path in files:
        for key, entry in read(path, problems).items():
            first = merged.setdefault(key, entry)
            if first.value != entry.value and _is_ours(key) and key not in process:
                problems.append(f"{key} differs between {first.where} and {entry.where}")
    merged |= process
    ours = {key: entry for key, entry in merged.items() if _is_ours(key)}
    for entry in ours.values():
        if entry.key not in KEYS:
            own = [key for key in KEYS if key.startswith(OWN_PREFIXES)]
            near = difflib.get_close_matches(entry.key, own, 1, 0.0)[0]
            problems.append(f"{entry.where}: {entry.key} is unknown; the nearest key is {near}")
        elif complaint := flaw(entry.value):
            problems.append(f"{entry.where}: {entry.key} {complaint}")
    return {key: entry for key, entry in ours.items() if key in KEYS and not flaw(entry.value)}


def _is_ours(key: str) -> bool:
    return key in KEYS or key.startswith(OWN_PREFIXES)


def exposure(path: Path, host_dir: Path, problems: list[str]) -> str | None:
    """A warning if others than its owner can use the file; a problem if it is a backup host's."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if path.parent == host_dir:
        if mode & 0o006:
            problems.append(f"{path}: every user can read or change it; chmod 640 {path}")
    elif mode & 0o066:
        return f"{path}: other users can read or change it; chmod 600 {path}"
    return None
