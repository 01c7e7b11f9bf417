"""Mount that file system, tell it what to do, and take it away again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ..running import PROJECT
from .forgetful import CONTROL, Plan

PATIENCE = 30.0


def unavailable() -> str | None:
    """Why there can be no such mount here; None if there can."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if os.geteuid() != 0:
        return "only root can mount"
    return None


class Mount:
    """One forgetful disk: `store` is where it is seen, once it is mounted."""

    def __init__(self, place: Path) -> None:
        self.store = place / "mounted"
        self.image = place / "disk"
        self._log = place / "fuse.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.store.mkdir(parents=True)

    def __enter__(self) -> Mount:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Mount the disk as it was left; it does as it should."""
        words = [sys.executable, "-m", "tests.chaos.forgetful", str(self.image), str(self.store)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(words, cwd=PROJECT, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while not self.store.is_mount():
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"the file system did not come up: {self._log.read_text()}")
            time.sleep(0.02)

    def down(self) -> None:
        """Unmount it, however it stands; what it holds is kept."""
        subprocess.run(["umount", "--lazy", str(self.store)], capture_output=True)
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
            self.kill()

    def kill(self) -> None:
        """End the file system as a crash of its server would: what was not saved is gone."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def arm(self, plan: Plan) -> None:
        """What goes wrong from now on."""
        with suppress(OSError):  # a power cut that is due at once refuses even this
            Path(f"{self.store}{CONTROL}").write_text(plan.to_json(), encoding="utf-8")

    def operations(self) -> int:
        """How many there have been since it was mounted."""
        return self._told("operations")

    def struck(self) -> int:
        """How many of them the last plan has refused or held up."""
        return self._told("struck")

    def _told(self, what: str) -> int:
        answer = Path(f"{self.store}{CONTROL}").read_text(encoding="utf-8")
        return int(json.loads(answer)[what])
