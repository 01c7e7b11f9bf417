"""Alert rules and dashboard hold, by promtool, and by a real Prometheus and node_exporter."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers import metrics
from helpers.metrics import HELP, PREFIX
from helpers.outcomes import Facts, Run

from .receivers import free_port
from .servers import REQUIRE_ALL

ROOT = Path(__file__).parent.parent
RULES = ROOT / "monitoring" / "alerts.yml"
DASHBOARD = json.loads((ROOT / "monitoring" / "grafana-dashboard.json").read_text())
EXPORTER = "prometheus-node-exporter"
PROMETHEUS = "prometheus"
PROMTOOL = "promtool"


def program(name: str) -> str:
    """Where a program of Debian's is; skips or fails the test where it is not installed."""
    found = shutil.which(name)
    if not found:
        if os.environ.get(REQUIRE_ALL) == "1":
            pytest.fail(f"{name} is not installed here, and {REQUIRE_ALL}=1")
        pytest.skip(f"{name} is not installed here")
    return found


def expressions() -> list[str]:
    """Every query of the dashboard, with its variables filled in."""
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [re.sub(r"\$(environment|database)", ".+", expression) for expression in asked]


def test_every_alert_fires_when_it_should_and_only_then() -> None:
    done = subprocess.run(
        [program(PROMTOOL), "test", "rules", "alerts.test.yml"],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    asked = " ".join(expressions()) + RULES.read_text(encoding="utf-8")
    names = set(re.findall(rf"\b{PREFIX}(\w+)", asked))
    assert names <= set(HELP)
    assert len(names) > 8


def test_every_alert_says_where_and_what_to_do() -> None:
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["description"]
        if rule["alert"] != "PgbackupSilent":
            assert "$labels.environment" in rule["annotations"]["summary"]


def test_the_dashboard_lays_its_panels_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@contextmanager
def running(*argv: str) -> Iterator[None]:
    """A process of ours until the end of the block."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def fetched(url: str) -> str:
    """What a server on loopback answers; "" while it does not."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def stale(directory: Path) -> None:
    """Metrics of a last success two days ago and a failure now, as the helpers write them."""
    labels = (("database", "shop"), ("environment", "prod"))
    old = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    run = Run("backup", "prod", "host", datetime.now(UTC), 1.0, 3, facts=Facts("shop"))
    samples = {("last_success_timestamp_seconds", labels): old, ("suspect", labels): 0.0}
    written = metrics.render(samples | metrics.of_run(run, "shop", timedelta(hours=26)))
    metrics.file(directory, "prod").write_bytes(written)


def test_a_stale_backup_fires_an_alert_in_a_real_prometheus(tmp_path: Path) -> None:
    exporter, server, tool = program(EXPORTER), program(PROMETHEUS), program(PROMTOOL)
    textfile = tmp_path / "textfile"
    textfile.mkdir()
    stale(textfile)
    ports = free_port(), free_port()
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{ports[0]}"]}]}
        ],
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    checked = subprocess.run([tool, "check", "config", str(file)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with (
        running(
            exporter,
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={textfile}",
            f"--web.listen-address=127.0.0.1:{ports[0]}",
        ),
        running(
            server,
            f"--config.file={file}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{ports[1]}",
        ),
    ):
        url = f"http://127.0.0.1:{ports[1]}/api/v1"
        deadline = time.monotonic() + 90
        while {"PgbackupTooOld", "PgbackupFailed"} - firing(f"{url}/alerts"):
            assert time.monotonic() < deadline, fetched(f"{url}/alerts")
            time.sleep(0.2)
        assert "PgbackupSuspect" not in firing(f"{url}/alerts")
        for expression in expressions():
            query = urllib.parse.quote(expression)
            assert json.loads(fetched(f"{url}/query?query={query}"))["status"] == "success"
        scraped = fetched(f"http://127.0.0.1:{ports[0]}/metrics")
    assert "node_textfile_scrape_error 0" in scraped


def firing(url: str) -> set[str]:
    """The alerts that fire."""
    answer: dict[str, Any] = json.loads(fetched(url) or '{"data": {"alerts": []}}')
    alerts = answer["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
