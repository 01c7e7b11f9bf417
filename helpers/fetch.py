"""Bring one backup from its host to this machine; it gets its name here once it is verified."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from . import processes, remote, verify
from .errors import ConfigError, NotFoundError, RemoteError, VerificationError
from .inventory import Host
from .names import parse_name
from .progress import Quiet


def fetch(root: Path, environment: str, hosts: Sequence[Host], file: str, place: Path) -> Path:
    """Fetch a backup into `place` and verify it there; where it is now.

    Raises ConfigError, NotFoundError, RemoteError, VerificationError.
    """
    if len(hosts) != 1:
        raise ConfigError(
            f"{environment} has {len(hosts)} remote backup hosts; a backup is fetched from one.",
            "Name an environment whose inventory has one host that is not this machine.",
        )
    source = _locate(root, environment, hosts[0], file)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = place / source.name
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already.", "Move it away, or name another --dest.")
    coming = place / f".fetching-{source.name}"
    shutil.rmtree(coming, ignore_errors=True)
    try:
        coming.mkdir(mode=0o700)
        _copy(root, environment, hosts[0], source, coming)
        result = verify.verify(coming, source.name, os.cpu_count() or 1, Quiet(silent=True))
        if not result.passed:
            raise VerificationError(
                f"What arrived of {source.name} is damaged: {result.all_problems[0]}",
                "Verify it on its host; if it is good there, fetch it again.",
            )
        coming.rename(target)
    finally:
        shutil.rmtree(coming, ignore_errors=True)
    return target


def _locate(root: Path, environment: str, host: Host, file: str) -> Path:
    """Where the host keeps the backup that is meant."""
    reply = remote.ask(root, environment, [host], ["list", "--env", environment, "--json"])[0]
    if reply.code:
        raise RemoteError(
            reply.trouble or f"{host.name}: {reply.errors}",
            "See that list works there, then retry.",
        )
    found = json.loads(reply.output)["backups"]
    good = [one for one in found if one["state"] in {"good", "suspect"}]
    wanted = good if file == "latest" else [one for one in found if one["name"] == file]
    if not wanted or parse_name(wanted[0]["name"]) is None:
        raise NotFoundError(
            f"{host.name} has no backup {file} of {environment}.", "Name one that list shows."
        )
    return Path(max(wanted, key=lambda one: str(one["time"]))["path"])


def _copy(root: Path, environment: str, host: Host, source: Path, target: Path) -> None:
    done = processes.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            f"--inventory={root / 'inventories' / environment}",
            f"--limit={host.name}",
            "--extra-vars=" + json.dumps({"fetch_source": str(source), "fetch_dest": str(target)}),
            str(root / "playbooks" / "fetch-backup.yml"),
        ],
        env={"ANSIBLE_CONFIG": str(root / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
    )
    if done.returncode:
        said = (
            " ".join(line for line in done.errors.splitlines() if line)[:500] or done.output[-500:]
        )
        raise RemoteError(
            f"{source.name} could not be copied from {host.name}: {said}", "Try again."
        )
