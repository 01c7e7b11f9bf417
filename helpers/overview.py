"""Every environment that can be seen from here: on this machine and on hosts of inventories."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from . import accounts, asked, envfiles, inventory, processes, remote
from .errors import BackupError, Interruption, RemoteError
from .inventory import Host
from .settings import HOST_DIR, Settings

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class View(Generic[Seen]):
    """What a verb makes of an environment here, of another's answer, and of one that fails.

    A document is what the verb answers with --json; `host` is None where it is this machine.
    """

    verb: str
    here: Callable[[Settings], Seen]
    parse: Callable[[Mapping[str, Any], str | None], list[Seen]]
    failed: Callable[[str, Exception, str | None], Seen]


def across(view: View[Seen], env: str | None, dest: str | None) -> list[Seen]:
    """The view of one environment, or of every one that there is; one that fails hides no other."""
    return [
        seen
        for environment in _environments(env)
        for seen in _of(view, environment, dest, alone=env is not None)
    ]


def _environments(env: str | None) -> Sequence[str | None]:
    """The environments that are meant; None is the one that the settings themselves name."""
    named = env or os.environ.get("BACKUP_ENV")
    if named:
        return [named]
    known = set(envfiles.described(asked.root(), HOST_DIR))
    if asked.checkout:
        known |= {one for one in inventory.names(asked.checkout) if _is_elsewhere(one)}
    return sorted(known) or [None]


def _is_elsewhere(environment: str) -> bool:
    """Whether an inventory has hosts of its own; one that cannot be read is to be told of."""
    try:
        return bool(_hosts(environment))
    except BackupError:
        return True


def _hosts(environment: str) -> list[Host]:
    """The hosts where the backups of an environment are, unless they are here."""
    root = asked.checkout
    if root is None or environment not in inventory.names(root):
        return []
    return [host for host in inventory.hosts(root, environment) if not host.local]


def _of(
    view: View[Seen], environment: str | None, dest: str | None, *, alone: bool
) -> Iterator[Seen]:
    if environment is None:
        yield view.here(asked.load(None, dest))
        return
    try:
        words = remote.argv(view.verb, environment, {"dest": dest, "json": True})
        hosts = _hosts(environment)
        if hosts and asked.checkout:
            for reply in remote.ask(asked.checkout, environment, hosts, words):
                said = reply.trouble or reply.errors
                yield from _parsed(view, environment, reply.output, said, reply.host)
        elif not alone and _has_a_user_of_its_own(environment):
            done = _as_its_user(words)
            yield from _parsed(view, environment, done.output, done.errors, None)
        else:
            yield view.here(asked.load(environment, dest))
    except Interruption:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the others are looked at
        yield view.failed(environment, error, None)


def _parsed(
    view: View[Seen], environment: str, output: str, errors: str, host: str | None
) -> Iterator[Seen]:
    """What another process answered, or why it did not."""
    try:
        document = json.loads(output)
        if "error" in document:
            errors = f"{document['error']['what']} {document['error']['do']}"
        else:
            yield from view.parse(document, host)
            return
    except (ValueError, KeyError, TypeError):
        errors = errors or "It gave no answer that can be read."
    yield view.failed(environment, RemoteError(errors, ""), host)


def _has_a_user_of_its_own(environment: str) -> bool:
    if os.geteuid() != 0:
        return False
    user = accounts.users(HOST_DIR).get(environment)
    return user is not None and user.pw_uid != 0


def _as_its_user(words: Sequence[str]) -> processes.Completed:
    """Run a verb anew, which gives up root's rights for those of the environment's user."""
    here = os.environ.get("PYTHONPATH", str(Path(__file__).parents[1]))
    program = [sys.executable, "-P", "-m", "helpers", *words]
    return processes.run(["env", f"PYTHONPATH={here}", *program])
