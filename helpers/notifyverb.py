"""The verb `notify`: a test message to everybody who is told how runs went, and a test ping."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from invoke.context import Context
from invoke.tasks import task

from . import entry, notify, ping, watch
from .asked import helps, load
from .entry import Answer, printable
from .errands import Errand
from .errors import ConfigError
from .settings import Target


@task(name="notify", help=helps("env", "json"))
def notify_(_context: Context, env: str | None = None, json: bool = False) -> None:
    """Send a test message and ping, and say of each service whether it took it."""
    entry.run("notify", lambda: _answer(attempt(load(env).target)), as_json=json)


def attempt(target: Target) -> dict[str, str | None]:
    """Tell everybody at once; of each by its name why it could not be told, or None.

    A ping is one that services keep as a log: it must not pass for a backup. ConfigError where
    there is nobody to tell.
    """
    audience = target.audience
    if not audience.urls and not audience.ping:
        raise ConfigError(
            f"Nobody is told how runs of {target.environment} go.",
            "Set NOTIFY_URLS or PING_URL; docs/monitoring.md has examples.",
        )
    title = printable(f"{target.environment}: a test message of pgbackup")
    text = printable(_text(target))
    if audience.urls:
        notify.prepare()
    until = time.monotonic() + audience.timeout
    errands = watch.messages(audience.urls, title, text, "info")
    if audience.ping:
        url, said = audience.ping.get_secret_value(), f"{title}\n\n{text}"
        errands.append(Errand("ping", lambda: ping.send(url, "log", said, audience.timeout)))
    return {errand.what: errand.problem(until) for errand in errands}


def _text(target: Target) -> str:
    told = ", ".join(sorted(target.audience.events)) or "nothing"
    return "\n".join(
        (
            "This is only a test: nothing happened. When something does, it is told here.",
            f"What is told: {told}",
            f"Newest good backup: {watch.newest(target)}",
            f"Environment: {target.environment}",
            f"Database: {target.database or 'unknown'}",
            f"Host: {socket.gethostname()}",
        )
    )


def _answer(found: Mapping[str, str | None]) -> Answer:
    lines = [f"{name}: {problem or 'took it'}" for name, problem in found.items()]
    document = {"told": [{"name": name, "problem": why} for name, why in found.items()]}
    code = ConfigError.exit_code if any(found.values()) else 0
    return Answer(document, "\n".join(lines), code=code)
