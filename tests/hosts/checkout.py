"""A checkout of the project as on somebody's control machine, with inventories of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.running import PROJECT, Ran

from .shell import run

_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)
_CHANGED = re.compile(r"^TASK \[(.+?)\] \**\n(?:(?!^TASK).*\n)*?^changed:", re.M)
_NOT_TESTED = ("tests/", "docs/")


@dataclass(frozen=True)
class Play(Ran):
    """What a run of ansible-playbook said."""

    @cached_property
    def changed(self) -> list[str]:
        """The names of the tasks that changed something."""
        return _CHANGED.findall(self.out)

    @property
    def changes(self) -> int:
        """How many changes the recap counts, of all hosts."""
        return sum(int(found[2]) for found in _RECAP.findall(self.out))

    def succeeded(self) -> Play:
        """Itself, if the playbook reached its end and recaps at least one host."""
        assert self.code == 0, self.said
        assert _RECAP.search(self.out), self.said
        return self


class Checkout:
    """The project's files in a directory of their own, and the commands a person runs there."""

    def __init__(self, directory: Path, sockets: Path) -> None:
        self.path, self._sockets = directory, sockets
        files = run(
            "git", "-C", PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
        )
        for name in filter(None, files.split("\0")):
            if not name.startswith(_NOT_TESTED) and (PROJECT / name).exists():
                target = directory / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, target)
        shutil.rmtree(directory / "inventories")

    def describe(
        self, environment: str, hosts: Mapping[str, Mapping[str, object]], **inputs: object
    ) -> None:
        """Write the inventory of an environment: its hosts with their variables, role inputs."""
        place = self.path / "inventories" / environment
        (place / "group_vars").mkdir(parents=True, exist_ok=True)
        # YAML reads JSON.
        group = {"backup_hosts": {"hosts": hosts}}
        (place / "hosts.yml").write_text(json.dumps(group, indent=1))
        (place / "group_vars/backup_hosts.yml").write_text(json.dumps(inputs, indent=1))

    def deploy(self, environment: str, *options: str, typed: str = "") -> Play:
        """Run the whole playbook; `typed` is what a person answers when it asks."""
        words = ("deploy-backups.yml", "-i", f"inventories/{environment}", *options)
        ran = self.run("ansible-playbook", *words, typed=typed)
        return Play(ran.code, ran.out, ran.err)

    def invoke(self, *words: str) -> Ran:
        """Run a verb as a person does."""
        return self.run("invoke", *words)

    def run(self, program: str, *words: str, timeout: float = 600, typed: str = "") -> Ran:
        """Run a program of this virtual environment from the project's root."""
        binaries = Path(sys.executable).parent
        done = subprocess.run(
            [str(binaries / program), *words],
            cwd=self.path,
            env=self._environment(binaries),
            capture_output=True,
            text=True,
            timeout=timeout,
            input=typed,
            # Without a terminal, prompts read what is typed.
            start_new_session=True,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def _environment(self, binaries: Path) -> dict[str, str]:
        return {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "HOME": str(self.path.parent),
            "LANG": "C.UTF-8",
            # A socket's path has at most 108 characters.
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._sockets),
        }
