"""Do what retention says: a plan first, deletions only when asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from . import index, listing, retention
from .index import Glance
from .listing import Backup
from .names import Name, parse_name
from .progress import Progress
from .retention import Candidate, Decision
from .settings import Keep
from .store import Store


@dataclass(frozen=True)
class Plan:
    """What to keep and what to delete of one database's backups, newest first."""

    series: str
    decisions: tuple[Decision, ...]

    @property
    def doomed(self) -> tuple[str, ...]:
        """The names of what goes."""
        return tuple(decision.name for decision in self.decisions if not decision.keep)


def shown(store: Store, environment: str, keep: Keep) -> list[Plan]:
    """One plan for each database that has backups of this environment in the store."""
    return of(index.glances(store, environment), keep)


def of(found: Iterable[Glance | Backup], keep: Keep) -> list[Plan]:
    """The same for backups of one environment that were read."""
    by_series: defaultdict[str, dict[Name, Candidate]] = defaultdict(dict)
    for backup in found:
        by_series[backup.name.series][backup.name] = candidate(backup)
    return [
        Plan(series, _held(retention.plan(own.values(), keep), own))
        for series, own in sorted(by_series.items())
    ]


def candidate(backup: Glance | Backup) -> Candidate:
    """A backup as retention sees it."""
    name = backup.name
    return Candidate(
        name=str(name),
        time=name.time,
        verified=backup.verified,
        suspect=bool(backup.suspect),
    )


def _held(decisions: tuple[Decision, ...], names: Iterable[Name]) -> tuple[Decision, ...]:
    """The same, but nothing goes while a name lies in the future: nobody knows which is newest."""
    ahead = listing.from_the_future(names)
    if ahead is None:
        return decisions
    why = (f"{ahead} is from the future: set the clock, or remove it",)
    return tuple(d if d.keep else replace(d, keep=True, reasons=why) for d in decisions)


def apply(store: Store, environment: str, keep: Keep, progress: Progress) -> list[Plan]:
    """Delete what the plan says, oldest first; each database's lock is held meanwhile.

    What killed runs left goes first: on a disk that is full no backup gets to do that.

    The plan is made anew under the lock, so that nothing is judged by what was true before it.
    """
    done = []
    for series in sorted({name.series for name in store.names(environment)}):
        with store.lock(series):
            for swept in store.sweep(series):
                progress.note(f"removed {swept}, left by a run that was killed")
            done.append(apply_locked(store, environment, series, keep, progress))
    return done


def apply_locked(
    store: Store, environment: str, series: str, keep: Keep, progress: Progress
) -> Plan:
    """The same for one database whose lock the caller holds."""
    # What is deleted is judged by what lies there now, and never by an index.
    found = of(listing.backups(store, environment), keep)
    plan = next((p for p in found if p.series == series), Plan(series, ()))
    for text in reversed(plan.doomed):
        name = parse_name(text)
        if name:
            store.remove(name)
            progress.note(f"deleted {text}")
    return plan
