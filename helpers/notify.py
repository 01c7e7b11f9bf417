"""Send one message to a service that Apprise knows; its URL, a secret, is never shown."""

from __future__ import annotations

import logging
import re
import warnings
from typing import TYPE_CHECKING, Final, Literal

from pydantic import SecretStr

if TYPE_CHECKING:
    from apprise import Apprise

Kind = Literal["failure", "warning", "success", "info"]
UNKNOWN: Final = "Apprise knows no such URL"
_LONGEST: Final = 8_000
_STATUS: Final = re.compile(r"error=(\d{3})\b")
"""How Apprise's plugins log an answer of HTTP; the rest of what they log may be secret."""


def name(number: int, url: SecretStr) -> str:
    """How a URL is called: all that stands after :// may be a token."""
    return f"notification {number} ({url.get_secret_value().split('://')[0].lower()})"


def prepare() -> None:
    """Import what threads then share: a second or two."""
    known(SecretStr("json://localhost"))


def known(url: SecretStr) -> bool:
    """Whether Apprise can make anything of a URL."""
    return bool(_services(url))


def send(url: SecretStr, title: str, text: str, kind: Kind) -> str | None:
    """Send it, once more if that fails; why it could not be sent, without the URL."""
    services = _services(url)
    if not services:
        return UNKNOWN
    result = services.notify(
        body=text[:_LONGEST], title=title, notify_type=kind, body_format="text"
    )
    if result:
        return None
    logged = " ".join(str(entry) for entry in result.logs())
    status = _STATUS.search(logged)
    return f"it answered {status[1]}" if status else "it could not be reached, or refused"


def _services(url: SecretStr) -> Apprise:
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - slow to import, rarely needed

    # Its log names hosts and recipients, and would otherwise reach standard error.
    logger = logging.getLogger("apprise")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    asset = AppriseAsset(app_id="pgbackup", async_mode=False, default_service_retry=1)
    services = Apprise(asset=asset)
    with warnings.catch_warnings():
        # Each of its plugins is imported here, and not every one is up to date with Python.
        warnings.simplefilter("ignore")
        services.add(url.get_secret_value())
    return services
