"""The verbs `status` and `report`, as invoke tasks: both look at every host by themselves."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from . import asked, entry, overview, report, status
from .asked import helps
from .entry import Answer
from .errors import BackupError, ConfigError, Interruption, RemoteError
from .overview import View
from .protection import State
from .report import Dossier
from .settings import Settings


@task(name="status", help=helps("env", "dest", "nagios", "json"))
def status_(
    _context: Context,
    env: str | None = None,
    dest: str | None = None,
    nagios: bool = False,
    json: bool = False,
) -> None:
    """Say whether each environment is protected, wherever its backups are."""

    def here(settings: Settings) -> State:
        return status.look(settings, asked.existing(settings)).state

    def work() -> Answer:
        view = View("status", here, _states, status.unknown)
        if not nagios:
            return status.answer(overview.across(view, env, dest))
        try:
            states = overview.across(view, env, dest)
        except Interruption:
            raise
        except BackupError as error:
            states = [status.unknown(env or "backups", error)]
        return status.monitored(states)

    entry.run("status", work, as_json=json)


@task(name="report", help=helps("env", "output", "dest", "json"))
def report_(
    _context: Context,
    env: str | None = None,
    output: str | None = None,
    dest: str | None = None,
    json: bool = False,
) -> None:
    """Write a report on an environment's backups as one HTML file."""

    def here(settings: Settings) -> Dossier:
        return report.gather(settings, asked.existing(settings))

    def failed(environment: str, error: Exception, host: str | None) -> Dossier:
        return Dossier(state=status.unknown(environment, error, host))

    def work() -> Answer:
        found = overview.across(View("report", here, _dossiers, failed), env, dest)
        environments = {dossier.state.environment for dossier in found}
        if len(environments) > 1:
            names = ", ".join(sorted(environments))
            raise ConfigError(f"A report is of one environment; there are {names}.", "Name it.")
        if all(dossier.state.error is not None for dossier in found):
            raise RemoteError(f"{found[0].state.error}", "See what status and doctor say.")
        if json:
            document = {"dossiers": [one.model_dump(mode="json") for one in found]}
            return Answer(document)
        environment = environments.pop()
        text = report.html(environment, found)
        if output == "-":
            sys.stdout.write(text)
            return Answer({})
        place = Path(output or f"report-{environment}.html").expanduser().absolute()
        report.write(place, text)
        return Answer({}, f"The report is {place}")

    entry.run("report", work, as_json=json)


def _states(document: Mapping[str, Any], host: str | None) -> list[State]:
    """What another machine says of its environments; on several, each is called by its name."""
    found = [State.model_validate(one) for one in document["environments"]]
    return [one.model_copy(update={"host": host}) if host else one for one in found]


def _dossiers(document: Mapping[str, Any], host: str | None) -> list[Dossier]:
    found = [Dossier.model_validate(one) for one in document["dossiers"]]
    return [
        one.model_copy(update={"state": one.state.model_copy(update={"host": host})})
        if host
        else one
        for one in found
    ]
