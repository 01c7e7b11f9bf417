"""Fixtures of the tests with hosts: one host is deployed to, and serves all that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.running import SECRET
from tests.servers import REQUIRE_ALL, Database, Servers

from . import deployment
from . import host as hosts
from .checkout import Checkout
from .deployment import Deployed
from .host import Host
from .rootfs import Rootfs, build

DISTRIBUTION_MAJOR = 15
"""Of the client that the hosts' distribution has."""


@pytest.fixture(scope="session")
def rootfs() -> Rootfs:
    """What every host starts from; skips the test where the machine cannot make hosts."""
    if reason := hosts.obstacle():
        if os.environ.get(REQUIRE_ALL) == "1":
            pytest.fail(f"{reason}, and {REQUIRE_ALL}=1")
        pytest.skip(reason)
    hosts.sweep()
    return build()


@pytest.fixture(scope="module")
def host(rootfs: Rootfs) -> Iterator[Host]:
    """A host of the module's own, on loopback."""
    with Host(rootfs) as running:
        yield running


@pytest.fixture(scope="module")
def checkout(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The control machine's checkout, without an inventory yet."""
    return Checkout(tmp_path_factory.mktemp("control") / "pgbackup", host.state)


@pytest.fixture(scope="session")
def chat(servers: Servers) -> Iterator[Database]:
    """A database with two filled tables, on a server that the distribution's client can dump."""
    with servers.get(DISTRIBUTION_MAJOR).database() as database:
        database.execute(
            "CREATE TABLE conversations (id int PRIMARY KEY, title text);"
            "INSERT INTO conversations SELECT n, 'talk ' || n FROM generate_series(1, 200) n;"
            "CREATE TABLE messages (id int PRIMARY KEY, body text);"
            "INSERT INTO messages SELECT n, repeat(md5(n::text), 20)"
            " FROM generate_series(1, 2000) n"
        )
        yield database


@pytest.fixture(scope="session")
def deployed(
    rootfs: Rootfs, chat: Database, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """A host that was bare and to which the playbook has been applied twice, for all tests."""
    deployment.login(chat, SECRET)
    with Host(rootfs) as running:
        checkout = Checkout(tmp_path_factory.mktemp("control") / "pgbackup", running.state)
        databases = [deployment.described(chat, SECRET)]
        made = Deployed(running, checkout, {"backup_schedule_databases": databases})
        made.begin()
        yield made
