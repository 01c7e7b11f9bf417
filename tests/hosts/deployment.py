"""A host that the playbook has been run on, and what a person asks of it afterwards."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.running import Ran
from tests.servers import Database

from .checkout import Checkout, Play
from .host import Host

STORE = "/var/backups/pgbackup"
LOGS = "/var/log/pgbackup"
ROLE = "backup_role"


def login(database: Database, password: str) -> None:
    """Create the role that backups connect as, or give it another password."""
    if not database.query("SELECT FROM pg_roles WHERE rolname = %s", ROLE):
        database.execute(f"CREATE ROLE {ROLE} LOGIN; GRANT pg_read_all_data TO {ROLE}")
    quoted = password.replace("'", "''")
    database.execute(f"ALTER ROLE {ROLE} PASSWORD '{quoted}'")


def described(
    database: Database,
    password: str,
    environment: str = "prod",
    *,
    address: str = "127.0.0.1",
    **changes: object,
) -> dict[str, object]:
    """A database's entry for the roles; without a schedule that comes during a test."""
    settings = {
        "PGHOST": address,
        "PGPORT": database.server.scratch.port,
        "PGDATABASE": database.name,
        "PGUSER": ROLE,
        "PGPASSWORD": password,
    }
    own = changes.pop("settings", {})
    assert isinstance(own, dict)
    schedule = {} if "timer" in changes else {"cron": "17 2 1 1 *"}
    return {"environment": environment, **schedule, **changes, "settings": settings | own}


def wait(until: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer of `until`; AssertionError naming `what` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := until()):
        assert time.monotonic() < deadline, f"after {seconds:.0f} s there is no {what}"
        time.sleep(0.5)
    return answer


@dataclass
class Deployment:
    """One host, and the checkout that deploys to it; `inputs` are the roles'."""

    host: Host
    checkout: Checkout
    inputs: dict[str, object] = field(default_factory=dict)

    def deploy(self, *options: str, **changes: object) -> Play:
        """Run the playbook with these inputs and all earlier ones."""
        self.inputs |= changes
        self.checkout.describe("prod", {self.host.name: self.host.variables()}, **self.inputs)
        return self.checkout.deploy("prod", *options)

    def pgbackup(self, *words: str) -> Ran:
        """Run a verb on the host, logged in as root."""
        done = self.host.ssh(shlex.join(["pgbackup", *words]), check=False)
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def backups(self, environment: str = "prod") -> list[dict[str, Any]]:
        """What `list` says of each backup, newest first."""
        listed = self.pgbackup("list", "--env", environment, "--json")
        assert listed.code == 0, listed.said
        found: list[dict[str, Any]] = listed.json["backups"]
        return found

    def names(self, environment: str = "prod") -> set[str]:
        """The names of the verified backups."""
        return {found["name"] for found in self.backups(environment) if found["state"] == "good"}


@dataclass
class Deployed(Deployment):
    """A deployment with the runs of the playbook that began it: a check, the first, a second."""

    checked: Play = field(init=False)
    first: Play = field(init=False)
    second: Play = field(init=False)

    def begin(self) -> None:
        """Run the playbook three times, the first time in check mode."""
        self.checked = self.deploy("--check", "--diff")
        self.first = self.deploy("--diff")
        self.second = self.deploy("--diff")
