"""Whom to tell how a run went, and where it is logged and measured: the settings of that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

Event = Literal["failure", "recovery", "success"]
EVENTS: Final = frozenset[Event]({"failure", "recovery", "success"})
DEFAULT_EVENTS: Final = frozenset[Event]({"failure", "recovery"})

_BETWEEN_URLS = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""Where one URL ends and the next begins: within one there may be commas."""


def _urls(value: object) -> object:
    if not isinstance(value, str):
        return value
    urls = [url for url in _BETWEEN_URLS.split(value.strip(" ,")) if url]
    if not all(re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S", url) for url in urls):
        raise ValueError("Each should be a URL of Apprise, such as mailto://... or slack://...")
    return tuple(urls)


def _events(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = {word for word in re.split(r"[\s,]+", value.lower()) if word}
    if not words <= EVENTS:
        raise ValueError(f"Each word should be one of {', '.join(sorted(EVENTS))}")
    return frozenset(words)


def _web(value: object) -> object:
    if isinstance(value, str):
        try:
            parts = urlsplit(value)
            fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in value
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("Should be a URL that begins with https:// or http://")
    return value


class Audience(BaseModel):
    """`timeout` is in seconds, for all telling after a run; URLs are secrets: they hold tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    urls: Annotated[tuple[SecretStr, ...], BeforeValidator(_urls)] = ()
    events: Annotated[frozenset[Event], BeforeValidator(_events)] = DEFAULT_EVENTS
    timeout: int = Field(default=10, ge=1, le=120)
    ping: Annotated[SecretStr | None, BeforeValidator(_web)] = None
    log: Path | None = None
    metrics: Path | None = None


def sound(values: Mapping[str, object]) -> Audience:
    """What can be used of settings that may be wrong in part."""
    usable: dict[str, object] = {}
    for field, value in values.items():
        try:
            Audience.model_validate({field: value})
        except ValidationError:
            continue
        usable[field] = value
    return Audience.model_validate(usable)
