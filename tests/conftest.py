"""Fixtures that every test may use: real servers and databases of a test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .servers import MAJORS, Database, Server, Servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers of this pytest process: `servers.get(16)` starts or finds one."""
    running = Servers(tmp_path_factory.mktemp("servers"))
    yield running
    running.remove()


@pytest.fixture(scope="session")
def server(servers: Servers) -> Server:
    """The newest server, with pgvector."""
    return servers.get(18)


@pytest.fixture(scope="session", params=MAJORS)
def any_server(request: pytest.FixtureRequest, servers: Servers) -> Server:
    """Each server at hand in turn; not all of them have pgvector."""
    return servers.get(request.param)


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """An empty database on `server`."""
    with server.database() as fresh:
        yield fresh


@pytest.fixture
def any_database(any_server: Server) -> Iterator[Database]:
    """An empty database on each server in turn."""
    with any_server.database() as fresh:
        yield fresh
