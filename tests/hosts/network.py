"""A host's own network: one cable from its namespace to this machine, which can be pulled.

Its packets leave by this machine's address, so that it reaches package registries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .shell import run, works

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True)
class Cable:
    """The network of host `number`: four addresses, one for each end of the cable."""

    number: int

    @property
    def machine(self) -> str:
        """This machine's address as the host sees it."""
        return f"10.98.76.{self.number * 4 + 1}"

    @property
    def host(self) -> str:
        return f"10.98.76.{self.number * 4 + 2}"

    @property
    def device(self) -> str:
        return f"pgbackup{self.number}"

    def plug_in(self, pid: int) -> None:
        """Make the cable, with the far end named eth0 in the namespace of process `pid`."""
        peer = ("peer", "name", "eth0", "netns", str(pid))
        run("ip", "link", "add", self.device, "type", "veth", *peer)
        run("ip", "address", "add", f"{self.machine}/30", "dev", self.device)
        run("ip", "link", "set", self.device, "up")
        run("ip", "route", "add", *self._nowhere)
        _FORWARD.write_text("1")
        for rule in self._rules():
            run("iptables", "--wait", rule[0], rule[1], "--append", *rule[2:])

    def cut(self) -> None:
        """Let nothing pass any more, as if the cable were pulled at a switch between the two."""
        run("ip", "link", "set", self.device, "down")

    def slow_down(self, rate: str) -> None:
        """Let what goes to the host pass at `rate`, such as 1mbit, until `mend`."""
        shape = ("tbf", "rate", rate, "burst", "16kb", "latency", "400ms")
        run("tc", "qdisc", "add", "dev", self.device, "root", *shape)

    def mend(self) -> None:
        """Undo `cut` and `slow_down`."""
        works("tc", "qdisc", "delete", "dev", self.device, "root")
        run("ip", "link", "set", self.device, "up")

    def remove(self) -> None:
        """Remove the cable and its rules; what is not there is no error."""
        works("ip", "link", "delete", self.device)
        works("ip", "route", "delete", *self._nowhere)
        for rule in self._rules():
            works("iptables", "--wait", rule[0], rule[1], "--delete", *rule[2:])

    @property
    def _nowhere(self) -> list[str]:
        """Where packets go without a cable: not out into the world by the default route."""
        return ["unreachable", f"10.98.76.{self.number * 4}/30", "metric", "4000"]

    def _rules(self) -> list[list[str]]:
        net = f"{self.host}/32"
        return [
            ["--table", "nat", "POSTROUTING", "--source", net, "--jump", "MASQUERADE"],
            ["--table", "filter", "FORWARD", "--source", net, "--jump", "ACCEPT"],
            ["--table", "filter", "FORWARD", "--destination", net, "--jump", "ACCEPT"],
        ]
