"""Run the programs of this machine that make hosts and their networks."""

from __future__ import annotations

import subprocess
from pathlib import Path


class HostError(Exception):
    """A throwaway host could not be made, started or reached."""


def run(*argv: str | Path, timeout: float = 300) -> str:
    """What a program prints; HostError with what it complained of if it fails."""
    words = [str(word) for word in argv]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise HostError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def works(*argv: str | Path) -> bool:
    """Whether a program ends with 0."""
    return not subprocess.run([str(word) for word in argv], capture_output=True).returncode
