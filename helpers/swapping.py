"""Give a restored database its name: with all that belongs to it, or not at all."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from . import postgres, queries, restoreplan, target
from .errors import BackupError, RefusedError
from .postgres import Session
from .restoreplan import Job
from .sqltext import quoted


def swap(session: Session, job: Job, name: str, now: datetime) -> str | None:
    """Give the database `name` the target's; the name that an old one has now, if it is kept.

    Raises RefusedError if somebody is in the way, or came there while the restore ran; what was
    restored is kept then.
    """
    place = job.place
    old = place.stamped(target.REPLACED, now)
    try:
        _look_again(session, job)
        target.swap(place, session, _steps(session, job, name, old), job.wish.end_sessions)
    except RefusedError as refused:
        ready = place.stamped(target.RESTORED, now)
        session.execute(
            f"BEGIN; COMMENT ON DATABASE {quoted(name)} IS NULL;"
            f"ALTER DATABASE {quoted(name)} RENAME TO {quoted(ready)}; COMMIT"
        )
        raise RefusedError(
            f"{refused.what} {place.database} is as it was; what was restored is complete, and "
            f"is called {ready}.",
            refused.do,
        ) from refused
    return old if job.state.exists and not _dropped(session, job, old) else None


def _look_again(session: Session, job: Job) -> None:
    """What was said of the target before the restore must be true still, perhaps hours later."""
    if job.wish.replace and job.state.exists:
        return
    found = restoreplan.state(session, job.place)
    what = None
    if found.exists != job.state.exists:
        what = "has been dropped" if job.state.exists else "has been made by somebody else"
    elif found.contents:
        what = f"is no longer empty (it has {', '.join(found.contents)})"
    if what:
        raise RefusedError(
            f"{job.place.database} {what} since this restore began.",
            "Look at both, then rename what was restored yourself.",
        )


def _steps(session: Session, job: Job, name: str, old: str) -> list[str]:
    """The statements that give the new database its name, and what is to be known by it.

    In the place of an old one it takes over what that was to its users; else it becomes what the
    backup says.
    """
    final = quoted(job.place.database)
    arrive = [
        f"ALTER DATABASE {quoted(name)} RENAME TO {final}",
        f"COMMENT ON DATABASE {final} IS NULL",
    ]
    if job.state.exists:
        taken_over = target.definition(session, job.place.database)
        return [f"ALTER DATABASE {final} RENAME TO {quoted(old)}", *arrive, *taken_over]
    own = job.source.properties.statements(job.place.database, owners=job.wish.owners)
    return [*arrive, f"GRANT CONNECT, TEMPORARY ON DATABASE {final} TO PUBLIC", *own]


def _dropped(session: Session, job: Job, old: str) -> bool:
    """Drop an old database that is empty still; one that the server holds on to is kept."""
    if not job.state.empty:
        return False
    with suppress(BackupError):
        with postgres.connect(job.place.near(old)) as inside:
            empty = not inside.query(queries.CONTENTS)
        if empty:
            session.execute(f"DROP DATABASE {quoted(old)}")
            return True
    return False
