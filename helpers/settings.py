"""An environment's settings: find them, read them, check them, report every problem at once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from . import audience, conninfo, envfiles
from .audience import Audience
from .conninfo import Connection
from .envfiles import Entry
from .errors import ConfigError
from .keys import KEYS

__all__ = ["HOST_DIR", "KEYS", "Connection", "Keep", "Settings", "Target", "load", "overhear"]

HOST_DIR: Final = Path("/etc/pgbackup")
_OWN_PATHS: Final = (
    "BACKUP_DIR",
    "BACKUP_PG_BIN",
    "BACKUP_LOG",
    "BACKUP_METRICS_DIR",
    "BACKUP_DRILL_DIR",
)
_PATH_KEYS: Final = ("PGPASSFILE", "PGSERVICEFILE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY")
_STRICT: Final = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Keep(BaseModel):
    """How many backups, and of how many days, weeks, months and years, retention keeps."""

    model_config = _STRICT

    last: int = Field(default=0, ge=0)
    daily: int = Field(default=7, ge=0)
    weekly: int = Field(default=4, ge=0)
    monthly: int = Field(default=12, ge=0)
    yearly: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _keeps_something(self) -> Keep:
        if not any((self.last, self.daily, self.weekly, self.monthly, self.yearly)):
            raise ValueError("every KEEP_ rule is 0, so every backup but one would be deleted")
        return self


def _tables(value: object) -> object:
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",") if name.strip()]
    if any(name.count(".") > 1 or "" in name.split(".") for name in names):
        raise ValueError("Each table should be written table or schema.table")
    return tuple(dict.fromkeys(names))


def _compression(value: object) -> object:
    if value == "lz4":
        raise ValueError("lz4 is not written: it saves less than zstd; auto, gzip, zstd, none")
    return value


def _age(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d{1,5})\s*([mhd]?)", value.strip().lower())
    units = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
    age = int(match[1]) * units[match[2] or "h"] if match else timedelta()
    if not age:
        raise ValueError("Should be hours, or a time such as 90m, 26h or 2d")
    return age


def _reached(value: object) -> object:
    if not isinstance(value, str):
        return value
    given = conninfo.parse(value)
    if wrong := [*conninfo.flaws(given), *conninfo.misfits(given)]:
        raise ValueError(wrong[0])
    if "dbname" not in given:
        raise ValueError("it names no database to connect to")
    return {"parameters": given}


class Settings(BaseModel):
    """One environment: its database, its store, and how backups of it are made and kept.

    `lock_timeout` is in seconds, `max_shrink` in percent, `binary_from` in bytes; `sources` are
    the files that were read.
    """

    model_config = _STRICT

    environment: str
    connection: Connection
    store: Path
    store_is_default: bool
    required_tables: Annotated[tuple[str, ...], BeforeValidator(_tables)] = ()
    jobs: int = Field(default_factory=lambda: min(4, os.cpu_count() or 1), ge=1, le=64)
    lock_timeout: int = Field(default=60, ge=1, le=86400)
    pg_bin: Path | None = None
    format: Literal["binary", "text"] = "binary"
    binary_from: int = Field(default=1048576, ge=0)
    compression: Annotated[
        Literal["auto", "gzip", "zstd", "none"], BeforeValidator(_compression)
    ] = "auto"
    drill_url: Annotated[Connection | None, BeforeValidator(_reached)] = None
    drill_dir: Path | None = None
    max_shrink: int = Field(default=50, ge=1, le=100)
    max_age: Annotated[timedelta, BeforeValidator(_age)] = timedelta(hours=26)
    keep: Keep = Keep()
    tell: Audience = Audience()
    warnings: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()

    @property
    def target(self) -> Target:
        """What a run by these settings is about."""
        dbname = self.connection.dbname
        return Target(self.environment, self.store, self.tell, dbname, self.max_age)


@dataclass(frozen=True)
class Target:
    """What a run is about and who wants to know, as far as the settings say."""

    environment: str
    store: Path
    audience: Audience
    database: str | None = None
    max_age: timedelta | None = None


def load(
    env: str | None,
    *,
    root: Path,
    environ: Mapping[str, str],
    host_dir: Path = HOST_DIR,
    dest: Path | None = None,
) -> Settings:
    """The settings of `env`, or of the one environment that the files around `root` describe.

    `dest` takes the place of BACKUP_DIR. Raises ConfigError with every problem, each with its
    file and key and never a secret.
    """
    root, problems = root.absolute(), list[str]()
    environment, files = envfiles.choose(env, root, environ, host_dir, problems)
    entries = envfiles.merge(files, environ, problems)
    exposed = [envfiles.exposure(path, host_dir, problems) for path in files]
    values: dict[str, Any] = _fields(entries, root, problems)
    values["store_is_default"] = dest is None and "store" not in values
    if dest is not None:
        values["store"] = _located(str(dest), root, "--dest", problems)
    values.setdefault("store", root / "backups" / environment)
    before = len(problems)
    connection = Connection(parameters=_connection(entries, problems))
    if environment and len(problems) == before and not _has_database(connection):
        problems.append(_no_database(files, envfiles.expected(environment, root, host_dir)))
    warnings = [warning for warning in exposed if warning] + _unexpanded(entries)
    try:
        settings = Settings(
            environment=environment,
            connection=connection,
            warnings=tuple(warnings),
            sources=tuple(files),
            **values,
        )
    except ValidationError as error:
        problems += _translated(error, entries)
    if problems:
        raise ConfigError(
            f"The settings{f' of {environment}' if environment else ''} do not hold:\n"
            + "\n".join(f"- {problem}" for problem in dict.fromkeys(problems)),
            "Correct them; .env.example explains every key.",
        )
    return settings


def overhear(
    env: str | None,
    *,
    root: Path,
    environ: Mapping[str, str],
    host_dir: Path = HOST_DIR,
    dest: Path | None = None,
) -> Target:
    """What can be read of settings that `load` refuses, to tell those that want to know."""
    root, problems = root.absolute(), list[str]()
    environment, files = envfiles.choose(env, root, environ, host_dir, problems)
    values = _fields(envfiles.merge(files, environ, problems), root, problems)
    store = dest or values.get("store", root / "backups" / environment)
    return Target(environment, store, audience.sound(values.get("tell", {})))


def _fields(entries: Mapping[str, Entry], root: Path, problems: list[str]) -> dict[str, Any]:
    """The model's fields that are given, as text; paths are made absolute."""
    values: dict[str, Any] = {}
    for name, entry in entries.items():
        group, _, field = KEYS[name].field.rpartition(".")
        if field:
            value: object = entry.value
            if name in _OWN_PATHS:
                value = _located(entry.value, root, f"{entry.where}: {name}", problems)
            (values.setdefault(group, {}) if group else values)[field] = value
    return values


def _located(value: str, root: Path, name: str, problems: list[str]) -> Path:
    if complaint := conninfo.flaw(value):
        problems.append(f"{name} {complaint}")
        return root
    try:
        return root / Path(value).expanduser()
    except RuntimeError:
        problems.append(f"{name} begins with the home of a user that does not exist")
        return root


def _connection(entries: Mapping[str, Entry], problems: list[str]) -> dict[str, str]:
    """The keywords that all styles together give; they must agree where they overlap."""
    merged: dict[str, tuple[str, Entry]] = {}
    for entry in entries.values():
        try:
            given = _given(entry, entries, problems)
        except ValueError as error:
            problems.append(f"{entry.where}: {entry.key}: {error}")
            continue
        problems += [f"{entry.where}: {entry.key}: {flaw}" for flaw in conninfo.flaws(given)]
        for keyword, value in given.items():
            first, other = merged.setdefault(keyword, (value, entry))
            if first != value:
                problems.append(
                    f"{other.key} ({other.where}) and {entry.key} ({entry.where}) "
                    f"disagree on the {keyword}"
                )
    parameters = {keyword: value for keyword, (value, _) in merged.items()}
    if "PGSERVICEFILE" in entries:
        parameters.pop("service", None)
    problems += [
        f"The connection does not fit: {misfit}" for misfit in conninfo.misfits(parameters)
    ]
    return parameters


def _given(entry: Entry, entries: Mapping[str, Entry], problems: list[str]) -> dict[str, str]:
    if entry.key == "DATABASE_URL":
        return conninfo.parse(entry.value)
    value = entry.value
    if entry.key in _PATH_KEYS and value.startswith("~"):
        value = str(_located(value, Path(), f"{entry.where}: {entry.key}", problems))
    if entry.key == "PGSERVICEFILE":
        if "PGSERVICE" not in entries:
            return {}
        return conninfo.service(envfiles.text(Path(value), problems), entries["PGSERVICE"].value)
    keyword = KEYS[entry.key].keyword
    return {keyword: value} if keyword else {}


def _has_database(connection: Connection) -> bool:
    return bool(connection.dbname or "service" in connection.parameters)


def _no_database(files: list[Path], expected: list[Path]) -> str:
    looked = ", ".join(map(str, files or expected))
    where = f"in {looked}" if files else f"and no env file was found (looked for {looked})"
    return f"No database is named: DATABASE_URL, PGDATABASE or POSTGRES_DB is missing {where}"


def _unexpanded(entries: Mapping[str, Entry]) -> list[str]:
    return [
        f"{entry.where}: {entry.key} holds ${{...}}, which is taken as it stands, not expanded"
        for entry in entries.values()
        if "${" in entry.value and entry.source != envfiles.PROCESS
    ]


def _translated(error: ValidationError, entries: Mapping[str, Entry]) -> list[str]:
    problems = []
    for detail in error.errors(include_input=False, include_context=False, include_url=False):
        field = ".".join(map(str, detail["loc"])) + "."
        entry = next(
            (e for e in entries.values() if f"{KEYS[e.key].field}.".startswith(field)), None
        )
        said = detail["msg"].removeprefix("Value error, ")
        problems.append(f"{entry.where}: {entry.key}: {said}" if entry else said)
    return problems
