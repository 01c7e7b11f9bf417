"""Where the database is: libpq's keywords out of a URL, a conninfo string or single variables."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field

from .keys import APPLICATION_PARAMETERS, KEYS

KEYWORDS: Final = frozenset(key.keyword for key in KEYS.values() if key.keyword) | {
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
}
_SECRETS: Final = frozenset(
    {"sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
_LISTS: Final = ("host", "hostaddr", "port")
_SSLMODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_ENCODE: Final = (
    "it has an @, / ? or # where a URL must not; inside names and passwords write "
    "@ as %40, / as %2F, ? as %3F, # as %23, % as %25"
)
_URL = re.compile(r"([^/?#]*)(?:/([^?#]*))?(?:\?([^#]*))?")
_HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]*))?")
_WORD = re.compile(
    r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?!')(?:[^\s\\]|\\.)*))\s*", re.DOTALL | re.ASCII
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Connection(BaseModel):
    """libpq's `parameters`, keyword by keyword; never shown or dumped with their secrets."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    parameters: Mapping[str, str] = Field(exclude=True)

    def __repr__(self) -> str:
        shown = (
            f"{name}={'***' if name == 'password' else value!r}"
            for name, value in sorted(self.parameters.items())
        )
        return f"Connection({', '.join(shown)})"

    def __str__(self) -> str:
        user, host = self.parameters.get("user"), self.parameters.get("host", "local socket")
        port = f":{self.parameters['port']}" if "port" in self.parameters else ""
        return f"{user + '@' if user else ''}{host}{port}/{self.dbname or 'database of a service'}"

    @property
    def dbname(self) -> str | None:
        """The database's name; None when only the connection service file knows it."""
        return self.parameters.get("dbname")


def flaw(value: str) -> str | None:
    """What makes `value` unfit for any key, if anything does."""
    if _CONTROL.search(value):
        return "has a line break, tab or other control character"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    return None


def flaws(parameters: Mapping[str, str]) -> Iterable[str]:
    """What is wrong with single parameters, never quoting a value."""
    for name, value in parameters.items():
        if complaint := flaw(value):
            yield f"{name} {complaint}"
    if not all(not port or _is_port(port) for port in parameters.get("port", "").split(",")):
        yield "a port is not a number from 1 to 65535"
    if parameters.get("sslmode", "prefer") not in _SSLMODES:
        yield f"sslmode is none of {', '.join(_SSLMODES)}"


def misfits(parameters: Mapping[str, str]) -> Iterable[str]:
    """What is wrong between a connection's parameters (libpq's connectOptions2)."""
    lists = {name: parameters[name].split(",") for name in _LISTS if name in parameters}
    servers = len(lists.get("hostaddr", lists.get("host", [""])))
    if "host" in lists and len(lists["host"]) != servers:
        yield "there must be as many hosts as addresses"
    if len(lists.get("port", [""])) not in {1, servers}:
        yield "there must be one port, or as many as hosts"


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,5}", text)) and 1 <= int(text) <= 65535


def parse(text: str) -> dict[str, str]:
    """The keywords of a DATABASE_URL, as a URL or as libpq's "host=... dbname='...'".

    Raises ValueError, whose message quotes nothing of `text`: a misplaced character turns a piece
    of a password into what looks like a host or a parameter. Rules: PostgreSQL documentation,
    "Connection Strings"; +driver, repeated host=name:port and + for a blank as SQLAlchemy does.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or "=" in scheme:
        return _checked(_words(text))
    dialect, plus, _ = scheme.partition("+")
    if dialect not in {"postgresql", "postgres"}:
        raise ValueError("it is not a PostgreSQL URL: those begin with postgresql://")
    return _checked(_url(rest, blank=bool(plus)))


def _url(rest: str, *, blank: bool) -> Iterable[tuple[str, str]]:
    match = _URL.fullmatch(rest)
    if match is None or "@" in rest[match.end(1) :] or match[1].count("@") > 1:
        raise ValueError(_ENCODE)
    if " " in rest:
        raise ValueError("it has a blank: write %20")
    userinfo, _, hosts = match[1].rpartition("@")
    user, _, password = userinfo.partition(":")
    yield from (("user", _decode(user)), ("password", _decode(password)))
    yield from _hosts(hosts.split(","))
    yield "dbname", _decode(match[2] or "")
    sockets: list[str] = []
    for part in filter(None, (match[3] or "").split("&")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError("a parameter after its ? has no =")
        name, value = _decode(name), _decode(value.replace("+", " ") if blank else value)
        if name == "ssl":
            name, value = "sslmode", "require" if value == "true" else value
        if name == "host":
            sockets += value.split(",")
        else:
            yield name, value
    yield from _hosts(sockets)


def _hosts(entries: list[str]) -> Iterable[tuple[str, str]]:
    hosts, ports = [], []
    for entry in entries:
        match = None if entry.startswith("/") else _HOST.fullmatch(entry)
        if match is None and not entry.startswith("/"):
            raise ValueError(f"its host and port do not read as host:port, or {_ENCODE}")
        hosts.append(_decode(match[1] or match[2] or "") if match else entry)
        ports.append(match[3] or "" if match else "")
    yield "host", ",".join(hosts)
    if any(ports):
        yield "port", ",".join(ports)


def _decode(text: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("it has a % that is not followed by two hexadecimal digits: write %25")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("its % codes are not UTF-8") from None


def _words(text: str) -> Iterable[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            raise ValueError(
                "it is neither a URL nor keyword=value pairs; put a value that has blanks in "
                "single quotes, and a \\ before each ' and \\ in it"
            )
        yield match[1], re.sub(r"\\(.)", r"\1", match[2] or match[3] or "", flags=re.DOTALL)
        position = match.end()


def _checked(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in _SECRETS:
            raise ValueError(
                f"it has {name}, which pg_dump could only be given where every user sees it"
            )
        if name in APPLICATION_PARAMETERS or not value:
            continue
        if name not in KEYWORDS:
            near = difflib.get_close_matches(name, KEYWORDS, 1, 0.0)
            raise ValueError(f"it has a parameter unknown to libpq (nearest: {near[0]})")
        if found.setdefault(name, value) != value:
            raise ValueError(f"it gives {name} twice, differently")
    return found


def service(text: str, name: str) -> dict[str, str]:
    """The keywords of section `name` of a connection service file; ValueError if there is none.

    PostgreSQL documentation, "The Connection Service File".
    """
    lines = [line.strip() for line in text.splitlines()]
    if f"[{name}]" not in lines:
        raise ValueError("it has no section of the name that PGSERVICE gives")
    pairs: list[tuple[str, str]] = []
    for line in lines[lines.index(f"[{name}]") + 1 :]:
        if line.startswith("["):
            break
        if line and not line.startswith("#"):
            keyword, equals, value = line.partition("=")
            if not equals or keyword in {"service", "ldap"}:
                raise ValueError("its section has a line that is not keyword=value")
            pairs.append((keyword, value))
    return _checked(pairs)
