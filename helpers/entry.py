"""Run one verb: errors, the answer on stdout, the exit code."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from invoke.exceptions import Exit
from rich.console import Console

from . import interrupts
from .errors import BackupError, exit_code, refused_by_system
from .outcomes import Facts
from .sheets import Sheet

SCHEMA_VERSION = 1
"""Of every --json document."""

_READ_BY_PEOPLE = 1 << 18
"""Characters of a document up to which it is indented."""

_FILE_WIDTH = 160
"""Columns of a table that goes to a file or a pipe."""


@dataclass(frozen=True)
class Answer:
    """What a verb found: for programs (`document`), for people (`tables`, `text`), and the code.

    `facts` go to the run's record and to those who are told of it.
    """

    document: Mapping[str, object]
    text: str = ""
    tables: tuple[Sheet, ...] = ()
    code: int = 0
    warnings: tuple[str, ...] = field(default=())
    facts: Facts = field(default=Facts())


def run(verb: str, work: Callable[[], Answer], *, as_json: bool, log_json: bool = False) -> None:
    """Do the work, say the answer, and end with the contract's exit code (by invoke's Exit).

    With `log_json` nothing but JSON reaches stderr.
    """
    with guard(verb, as_json=as_json, log_json=log_json):
        answer = work()
    _say(verb, answer, as_json=as_json, log_json=log_json)


@contextmanager
def guard(verb: str, *, as_json: bool, log_json: bool = False) -> Iterator[None]:
    """Turn signals and errors into a sentence on stderr and an exit code."""
    try:
        with interrupts.raised():
            yield
    except BackupError as error:
        _fail(verb, error.what, error.do, exit_code(error), as_json=as_json, log_json=log_json)
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for a user
        if os.environ.get("PGBACKUP_TRACEBACK"):
            traceback.print_exc()
        if isinstance(error, OSError):
            said = refused_by_system(error)
            _fail(verb, said.what, said.do, said.exit_code, as_json=as_json, log_json=log_json)
        what = f"Unexpected {type(error).__name__}: {error}"
        do = "Run it again with PGBACKUP_TRACEBACK=1 and report what it prints."
        _fail(verb, what, do, 1, as_json=as_json, log_json=log_json)


def _say(verb: str, answer: Answer, *, as_json: bool, log_json: bool) -> None:
    for warning in answer.warnings:
        text = json.dumps({"warning": warning}) if log_json else f"Warning: {printable(warning)}"
        print(text, file=sys.stderr)
    if as_json:
        _print_json(verb, answer.document)
    else:
        console = Console()
        if not console.is_terminal:
            console.width = _FILE_WIDTH
        for sheet in answer.tables:
            if sheet.long:
                print("\n".join(sheet.lines()))
            else:
                console.print(sheet.table())
        if answer.text:
            console.print(printable(answer.text), markup=False, highlight=False, soft_wrap=True)
    if answer.code:
        raise Exit(code=answer.code)


def _fail(verb: str, what: str, do: str, code: int, *, as_json: bool, log_json: bool) -> None:
    error = {"error": {"code": code, "what": what, "do": do}}
    if as_json:
        _print_json(verb, error)
    said = f"{verb} failed: {printable(what)}\n{printable(do)}"
    print(json.dumps(error) if log_json else said, file=sys.stderr)
    raise Exit(code=code)


def printable(text: str) -> str:
    """`text` without control characters: a name from a database must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text)


def _print_json(verb: str, document: Mapping[str, object]) -> None:
    whole = {"schema_version": SCHEMA_VERSION, "verb": verb, **document}
    text = json.dumps(whole, default=str)
    # Indenting a large document takes longer than all the rest, and nobody reads it.
    print(text if len(text) > _READ_BY_PEOPLE else json.dumps(whole, default=str, indent=1))
