"""The verbs as a program, with the contract's exit codes for a misspelt command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from invoke.exceptions import ParseError
from invoke.program import Program

from . import __version__, accounts, entry
from .cli import namespace
from .errors import ConfigError


class Pgbackup(Program):
    """Invoke's program, with the contract's exit code for a misspelt command line."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Read the program's own options."""
        with _usage_errors():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Read the verb and its options."""
        with _usage_errors():
            super().parse_tasks()

    def execute(self) -> None:
        """Run the verb, as the user whose run it is."""
        for task in self.tasks:
            given = {name: argument.value for name, argument in task.args.items()}
            accounts.step_down(task.name or "", given.get("env"), given.get("file"))
        super().execute()


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except ParseError as error:
        do = "Run pgbackup --help, or pgbackup --help VERB, to see what there is."
        with entry.guard("pgbackup", as_json="--json" in sys.argv):
            raise ConfigError(f"{error}", do) from error


def main() -> None:
    """Run one verb; whoever reads its output may stop reading early."""
    program = Pgbackup(
        name="pgbackup", binary="pgbackup", namespace=namespace(), version=__version__
    )
    try:
        program.run()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
