"""Keep one throwaway host running for a person to look around: `python -m tests.hosts`."""

from __future__ import annotations

import shlex
import sys

from .host import Host, obstacle, sweep
from .rootfs import build


def main() -> int:
    """Start a host, say how to reach it, and end it with the next line or end of input."""
    if reason := obstacle():
        print(f"This machine cannot make hosts: {reason}.")
        return 1
    sweep()
    with Host(build()) as host:
        variables = (f"{key}={shlex.quote(value)}" for key, value in host.variables().items())
        print(f"{host.name} {' '.join(variables)}", flush=True)
        print(shlex.join([*host.login, "bash"]), flush=True)
        sys.stdin.readline()
    return 0


if __name__ == "__main__":
    sys.exit(main())
