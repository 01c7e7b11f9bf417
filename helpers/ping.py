"""The dead man's switch: tell a service such as Healthchecks that a run began and how it ended."""

from __future__ import annotations

from typing import Final, Literal
from urllib.parse import urlsplit, urlunsplit

Moment = Literal["start", "success", "fail", "log"]
"""A log is kept, and changes nothing of what is waited for (healthchecks.io, "Pinging API")."""

_LONGEST: Final = 10_000
"""Bytes of a body: what Healthchecks keeps is of that order (healthchecks.io, "Attaching Logs")."""

_ATTEMPTS: Final = 2


def address(url: str, moment: Moment) -> str:
    """Where a moment is told: Healthchecks' base URL, with /start, /fail or /log on its path."""
    if moment == "success":
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{moment}"))


def send(url: str, moment: Moment, body: str, timeout: float) -> str | None:
    """Ping, and once more if that fails; why it could not be done, without the URL.

    `timeout` is in seconds, of each wait for the other side.
    """
    import requests  # noqa: PLC0415 - slow to import, and few runs need it

    data = body.encode(errors="replace")[-_LONGEST:]
    problem = None
    for _ in range(_ATTEMPTS):
        try:
            method = "POST" if data else "GET"
            answer = requests.request(method, address(url, moment), data=data, timeout=timeout)
        except requests.Timeout:
            return "no answer in time"
        except requests.ConnectionError:
            problem = "no connection"
        except (requests.RequestException, ValueError) as error:
            # What it says holds the URL, which is a secret.
            problem = type(error).__name__
        else:
            if answer.ok:
                return None
            problem = f"it answered {answer.status_code}"
    return problem
