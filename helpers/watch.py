"""Watch over a run: log how it went, renew the metrics, tell who wants to know, never harm it."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from . import __version__, listing, metrics, notify, outcomes, ping, progress, runlog
from .audience import Audience
from .entry import Answer, printable
from .errands import Errand
from .errors import BackupError, ConfigError
from .notify import Kind
from .outcomes import Facts, Run
from .settings import Settings, Target
from .store import Store

PINGED = "backup"
"""The verb whose runs the dead man's switch waits for."""

_KINDS: dict[str, Kind] = {"failed": "failure", "done": "success"}


def watched(
    verb: str,
    load: Callable[[], Settings],
    overhear: Callable[[], Target],
    work: Callable[[Settings], Answer],
    *,
    log_json: bool,
) -> Answer:
    """Do a verb's work on its settings, and tell how it went; what it raises is raised.

    Where the settings do not hold, `overhear` says what they are as far as they can be read.
    """
    progress.RECENT.clear()
    begun = time.monotonic()
    try:
        settings = load()
    except ConfigError as error:
        _Watch(verb, overhear(), log_json, begun).failed(error)
        raise
    watch = _Watch(verb, settings.target, log_json, begun)
    watch.start()
    try:
        answer = work(settings)
    except Exception as error:
        watch.failed(error)
        raise
    watch.ended(answer.code, _facts(answer, settings.target))
    return answer


def _facts(answer: Answer, target: Target) -> Facts:
    """A verb's facts, with what it answers people where it has nothing to add on what is wrong."""
    facts = replace(answer.facts, database=answer.facts.database or target.database)
    if answer.code and not facts.what:
        lines = [line.strip() for line in answer.text.splitlines() if line.strip()]
        facts = replace(facts, what=" ".join(lines[:5]))
    return facts


def deaf(audience: Audience) -> list[str]:
    """A sentence for each URL that no service of Apprise's would hear."""
    return [
        f"{notify.name(number, url)}: {notify.UNKNOWN}"
        for number, url in enumerate(audience.urls, 1)
        if not notify.known(url)
    ]


def newest(target: Target) -> str:
    """About the newest good backup, with its age."""
    try:
        found = listing.newest_trusted(Store(target.store), target.environment)
    except BackupError:
        return "unknown, the store cannot be read"
    if found is None:
        return "none"
    age = datetime.now(UTC) - found.name.time
    return f"{found.name}, {outcomes.age(age.total_seconds())} old"


@dataclass
class _Watch:
    verb: str
    target: Target
    log_json: bool
    begun: float
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _began: Errand | None = None

    def start(self) -> None:
        """Ping that the run begins, beside it."""
        url = self._ping_url()
        if url:
            timeout = self.target.audience.timeout / 2
            self._began = Errand("ping at the start", lambda: ping.send(url, "start", "", timeout))

    def failed(self, error: Exception) -> None:
        """Tell about a run that ended by an error."""
        code, interrupted, facts = outcomes.of_error(error, self.target.database)
        self.ended(code, facts, interrupted=interrupted)

    def ended(self, code: int, facts: Facts, *, interrupted: bool = False) -> None:
        """Tell about a run that came to its end, within the audience's timeout."""
        run = Run(
            self.verb,
            self.target.environment,
            socket.gethostname(),
            self.started,
            time.monotonic() - self.begun,
            code,
            interrupted,
            facts,
        )
        try:
            untold = self._tell(run)
        except Exception as error:  # noqa: BLE001 - the run went as it went
            untold = [f"telling: {type(error).__name__}"]
        self._log(run, untold)

    def _tell(self, run: Run) -> list[str]:
        audience = self.target.audience
        file = self._log_file()
        earlier = runlog.last(file, run.verb, run.environment) if file else None
        event = outcomes.event(run, earlier)
        recovered = event == "recovery"
        title = printable(outcomes.subject(run, recovered=recovered))
        text = printable(outcomes.body(run, newest(self.target), tuple(progress.RECENT)))
        untold = self._measure(run)
        wanted = event in audience.events or (recovered and "success" in audience.events)
        urls = audience.urls if wanted else ()
        if urls:
            notify.prepare()
        until = time.monotonic() + audience.timeout
        errands = self._ping(run, f"{title}\n\n{text}", until)
        errands += messages(urls, title, text, _KINDS.get(run.outcome, "warning"))
        problems = [errand.wait(until) for errand in errands]
        return untold + [problem for problem in problems if problem]

    def _ping(self, run: Run, text: str, until: float) -> list[Errand]:
        url, began = self._ping_url(), self._began
        if not url:
            return []
        timeout = self.target.audience.timeout

        def send() -> str | None:
            # A start that arrives after the end would look like a run that hangs.
            if began:
                began.wait(until - timeout / 2)
            return ping.send(url, "fail" if run.code else "success", text, timeout)

        return [*([began] if began else []), Errand("ping at the end", send)]

    def _measure(self, run: Run) -> list[str]:
        directory = self.target.audience.metrics
        if directory is None or not run.environment:
            return []
        try:
            metrics.write(directory, run, self.target.store, self.target.max_age)
        except OSError as error:
            return [f"metrics: {directory}: {error.strerror}"]
        return []

    def _log(self, run: Run, untold: list[str]) -> None:
        file = self._log_file()
        record = outcomes.record(run, __version__, untold)
        try:
            if file:
                runlog.append(file, record)
        except OSError as error:
            # A run that failed may have failed because there is no store to log to, and said so.
            if self.target.audience.log or run.code == 0:
                untold = [*untold, f"run log: {file}: {error.strerror}"]
        with suppress(OSError):
            runlog.to_system(record, failed=run.code != 0)
        if self.log_json:
            print(runlog.line(record | {"untold": untold}), file=sys.stderr, flush=True)
        else:
            for problem in untold:
                print(printable(f"Warning: {problem}"), file=sys.stderr, flush=True)

    def _log_file(self) -> Path | None:
        """None where nobody knows which environment it would be of."""
        named, environment = self.target.audience.log, self.target.environment
        return named or (runlog.default(self.target.store, environment) if environment else None)

    def _ping_url(self) -> str | None:
        url = self.target.audience.ping
        return url.get_secret_value() if url and self.verb == PINGED else None


def messages(urls: Sequence[SecretStr], title: str, text: str, kind: Kind) -> list[Errand]:
    """One errand for each service, so that one that hangs holds up no other."""
    return [
        Errand(notify.name(number, url), partial(notify.send, url, title, text, kind))
        for number, url in enumerate(urls, 1)
    ]
