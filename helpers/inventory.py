"""Where an environment's backups run: what its Ansible inventory says."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from . import processes
from .errors import ConfigError

GROUP = "backup_hosts"


@dataclass(frozen=True)
class Host:
    """A backup host of an inventory; a `local` one is the machine we stand on."""

    name: str
    local: bool


def names(root: Path) -> list[str]:
    """The environments that have an inventory."""
    return sorted(path.parent.name for path in (root / "inventories").glob("*/hosts.yml"))


def find(root: Path, environment: str) -> Path:
    """The directory of an environment's inventory; ConfigError if it has none."""
    if environment not in names(root):
        raise ConfigError(
            f"There is no inventory inventories/{environment}/hosts.yml "
            f"(there are: {', '.join(names(root)) or 'none'}).",
            "Name an environment that has one, or copy inventories/dev.",
        )
    return root / "inventories" / environment


def hosts(root: Path, environment: str) -> list[Host]:
    """The backup hosts of an environment; ConfigError if it has no inventory that can be read."""
    place = find(root, environment)
    program = Path(sys.executable).with_name("ansible-inventory")
    done = processes.run(
        [str(program), "--inventory", str(place), "--list"],
        # Ansible makes its own directory, by default in the user's home
        env={"ANSIBLE_CONFIG": str(root / "ansible.cfg"), "ANSIBLE_HOME": str(root / ".ansible")},
    )
    if done.returncode:
        said = next(iter(done.errors.splitlines()), "ansible-inventory gave no reason")
        vault = "vault" in said
        raise ConfigError(
            f"The inventory of {environment} cannot be read: {said}",
            "Name a file that holds the vault's password, or a program that prints it, in "
            "ANSIBLE_VAULT_PASSWORD_FILE."
            if vault
            else "Correct it.",
        )
    return _parse(done.output, environment)


def _parse(output: str, environment: str) -> list[Host]:
    document = json.loads(output)
    found = [
        Host(name, _is_local(name, document["_meta"]["hostvars"].get(name, {})))
        for name in document.get(GROUP, {}).get("hosts", [])
    ]
    if not found:
        raise ConfigError(
            f"The inventory of {environment} names no host in the group {GROUP}.",
            "Add the backup host to it.",
        )
    return found


def _is_local(name: str, variables: dict[str, object]) -> bool:
    """Ansible reaches a host called localhost without SSH unless its variables say otherwise."""
    connection = variables.get("ansible_connection")
    return connection == "local" if connection else name == "localhost"
