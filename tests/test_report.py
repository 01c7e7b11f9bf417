"""The report as a browser shows it: Debian's chromium, without a network."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from helpers import calendars, charts, report, status
from helpers.calendars import Taken
from helpers.report import Decided, Dossier, Point

from .histories import Past, write
from .running import environment, pgbackup

DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not DRIVER, reason="chromium-driver is needed")

URL = "postgresql://nobody@127.0.0.1:1/chat"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PHONE, DESKTOP = 390, 1280
HOSTILE = (
    "</title><script>window.owned=1</script><img src=x onerror=window.owned=1>\"'&\x1b[2J\u202e"
)

CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")
"""Ratio, text and class of every text that is laid out."""

TOO_WIDE = "const e = document.documentElement; return e.scrollWidth > e.clientWidth"
OVERFLOWING = """
const wide = document.documentElement.clientWidth;
return [...document.querySelectorAll('body *')].filter(e => !e.closest('.hidden, svg, thead'))
  .filter(e => e.getBoundingClientRect().right > wide + 1 || e.getBoundingClientRect().left < -1)
  .map(e => e.outerHTML.slice(0, 120));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield found
    found.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a store with a gap, a suspect, a damaged and three drilled backups."""
    place, now = tmp_path_factory.mktemp("report"), datetime.now(UTC)
    for days in (*range(60, 14, -7), *range(14, -1, -1)):
        if days in {4, 5}:
            continue
        past = Past(
            now - timedelta(days=days, hours=1),
            size=10**8 + (60 - days) * 10**6,
            rows=10**6 + (60 - days) * 1000,
            seconds=60 + days,
            outcome="failed" if days == 7 else "passed",
            suspect=("table public.messages went from 9 to 1 rows",) if days == 9 else (),
            drill="passed" if days in {1, 11, 25} else None,
            recovery=212,
        )
        write(place / "store", past)
    ran = pgbackup("report", env=environment(URL, place / "store"), cwd=place)
    assert ran.code == 0, ran.said
    return place / "report-test.html"


def show(browser: webdriver.Chrome, page: Path, width: int, scheme: str, media: str = "") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features, "media": media})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())


def visible(browser: webdriver.Chrome) -> str:
    text: str = browser.execute_script("return document.body.innerText")
    return text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_is_legible_and_fits(
    browser: webdriver.Chrome, page: Path, width: int, scheme: str
) -> None:
    show(browser, page, width, scheme)
    assert browser.execute_script("return innerWidth") == width
    assert not browser.execute_script(TOO_WIDE)
    assert browser.execute_script(OVERFLOWING) == []
    ratios = browser.execute_script(CONTRAST)
    assert len(ratios) > 200
    assert [one for one in ratios if one[0] < 4.5] == []
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(16, 20, 27)" if scheme == "dark" else "rgb(244, 246, 249)")
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_everything_that_was_asked_for_is_seen(
    browser: webdriver.Chrome, page: Path, width: int
) -> None:
    show(browser, page, width, "light")
    said = visible(browser)
    for wanted in (
        *("At risk", "Suspect backups: 1", "Damaged backups: 1", "target 26 hours", "grows by"),
        *("no schedule here", "Calendar", "no backup when one was due", "Over time", "Size"),
        *("Rows", "Duration", "Drills", "3.53 min", "Backups and retention", "newest verified"),
        *("failed verification", "suspect: waits for accept", "no rule keeps it", "goes"),
    ):
        assert wanted in said, wanted
    days = browser.execute_script("return document.querySelectorAll('.month .missing').length")
    assert days == 2
    plots = (
        "return [...document.querySelectorAll('svg')].map(e => e.getBoundingClientRect().height)"
    )
    assert [height > 100 for height in browser.execute_script(plots)] == [True] * 3


def test_a_screen_reader_finds_its_way(browser: webdriver.Chrome, page: Path) -> None:
    show(browser, page, PHONE, "light")
    levels = browser.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3')].map(e => e.tagName)"
    )
    assert levels == ["H1", "H2", "H3", "H3", "H3", "H3", "H3"]
    for every in (
        "[...document.querySelectorAll('table')].every(t => t.caption.innerText.trim())",
        "[...document.querySelectorAll('svg')].every(s => s.querySelector('title').textContent"
        " && s.querySelector('desc').textContent && s.getAttribute('role') === 'img')",
        "document.documentElement.lang === 'en' && document.title === 'Backups of test'",
        "[...document.querySelectorAll('.list td')].every(c => c.getAttribute('role') === 'cell')",
    ):
        assert browser.execute_script(f"return {every}"), every


def test_the_page_asks_for_nothing_and_runs_nothing(browser: webdriver.Chrome, page: Path) -> None:
    show(browser, page, DESKTOP, "light")
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    text = page.read_text()
    assert "<script" not in text
    assert not re.search(r'src=|href="(?!data:)|url\(|@import', text)


def test_a_printed_page_is_dark_on_white(browser: webdriver.Chrome, page: Path) -> None:
    show(browser, page, DESKTOP, "dark", media="print")
    style = "return getComputedStyle(document.body)"
    assert browser.execute_script(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
    assert browser.execute_script(f"{style}.color") == "rgb(0, 0, 0)"


def test_the_file_is_its_owners_alone_and_replaced_in_one_step(page: Path) -> None:
    assert page.stat().st_mode & 0o777 == 0o600
    before = page.stat().st_ino
    report.write(page, page.read_text())
    assert page.stat().st_ino != before
    assert [file.name for file in page.parent.iterdir() if file.name != "store"] == [page.name]


def hostile(now: datetime) -> Dossier:
    """What a manifest could say, everywhere that text can be."""
    state = status.unknown(HOSTILE, OSError(5, "x"), HOSTILE)
    state = state.model_copy(
        update={
            "error": None,
            "database": HOSTILE,
            "store": HOSTILE,
            "schedule": HOSTILE,
            "suspect": (HOSTILE,),
            "problems": (HOSTILE,),
            "risks": (HOSTILE,),
        }
    )
    point: dict[str, Any] = {"name": HOSTILE, "state": HOSTILE, "kind": "good", "depth": 2}
    drill: dict[str, Any] = {"backup": HOSTILE, "outcome": "failed", "seconds": None}
    return Dossier.model_validate(
        {
            "state": state,
            "points": [{**point, "time": now, "rows": 1, "bytes": 2, "seconds": 3.0}],
            "decisions": [{"name": HOSTILE, "keep": True, "reasons": [HOSTILE]}],
            "drills": [{**drill, "time": now, "problems": [HOSTILE]}],
        }
    )


def test_what_a_manifest_says_is_only_text(browser: webdriver.Chrome, tmp_path: Path) -> None:
    text = report.html(HOSTILE, [hostile(datetime.now(UTC))])
    assert "\x1b" not in text
    assert "\u202e" not in text
    # Without the page's own policy, so that nothing but the escaping is in the way.
    page = tmp_path / "hostile.html"
    page.write_text(re.sub(r"<meta http-equiv=.*?>", "", text), encoding="utf-8")
    show(browser, page, PHONE, "light")
    assert browser.execute_script("return window.owned") is None
    assert browser.execute_script("return document.querySelectorAll('script, img').length") == 0
    assert visible(browser).count("<script>window.owned=1</script>") >= 9
    assert not browser.execute_script(TOO_WIDE)


def test_a_report_of_an_empty_store_and_of_a_host_that_is_gone(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    (tmp_path / "store").mkdir()
    ran = pgbackup(
        "report", "--output", "r.html", env=environment(URL, tmp_path / "store"), cwd=tmp_path
    )
    assert ran.code == 0, ran.said
    show(browser, tmp_path / "r.html", PHONE, "light")
    assert "There is no backup yet." in visible(browser)
    gone = Dossier(state=status.unknown("prod", OSError(5, "no route"), "db2"))
    report.write(tmp_path / "r.html", report.html("prod", [gone]))
    show(browser, tmp_path / "r.html", PHONE, "light")
    assert "Unknown" in visible(browser)
    assert "db2" in visible(browser)


def test_output_goes_to_a_file_or_to_standard_output(tmp_path: Path) -> None:
    write(tmp_path / "store", Past(datetime.now(UTC)))
    env = environment(URL, tmp_path / "store")
    piped = pgbackup("report", "--output", "-", env=env, cwd=tmp_path)
    assert piped.out.startswith("<!DOCTYPE html>")
    assert pgbackup("report", "--output", "store", env=env, cwd=tmp_path).code == 2
    assert pgbackup("report", "--output", "no/such/r.html", env=env, cwd=tmp_path).code == 4
    data = pgbackup("report", "--json", env=env, cwd=tmp_path)
    (dossier,) = data.json["dossiers"]
    assert [Point.model_validate(one).rows for one in dossier["points"]] == [100]
    assert [Decided.model_validate(one).keep for one in dossier["decisions"]] == [True]
    assert [file.name for file in tmp_path.iterdir()] == ["store"]


NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def kinds(days: set[int], max_age: timedelta, daily: int = 7) -> dict[int, str]:
    taken = [Taken(NOON - timedelta(days=day), "good") for day in days]
    found = calendars.months(taken, NOON, max_age, daily)
    return {
        day.number: day.kind
        for week in found[0].weeks
        for day in week
        if day and day.kind != "future"
    }


def test_a_day_without_a_backup_is_a_gap_only_where_one_was_due() -> None:
    daily = timedelta(hours=26)
    assert kinds({0, 1, 3, 9}, daily) == {1: "good", 2: "missing", 3: "good", 4: "good"}
    assert kinds({1, 3, 9}, daily)[4] == "none"
    assert kinds({2, 3, 9}, daily)[4] == "missing"
    assert set(kinds({0, 3}, timedelta(days=8)).values()) == {"good", "none"}


def test_a_calendar_has_at_most_twelve_months() -> None:
    taken = [Taken(NOON - timedelta(days=days), "good") for days in (0, 2000)]
    found = calendars.months(taken, NOON, timedelta(hours=26), 7)
    assert [len(found), found[0].title, found[-1].title] == [12, "March 2026", "April 2025"]


def test_a_chart_of_many_values_keeps_the_spikes() -> None:
    values = [(NOON + timedelta(hours=hour), 5.0) for hour in range(10_000)]
    values[5_000] = (values[5_000][0], 99.0)
    drawn = charts.chart("size", "Size", values, str)
    assert drawn
    assert drawn.line.count("L") < 500
    assert "highest 99.0" in drawn.summary
    lowest = min(float(y) for y in re.findall(r"[ML]\S+ (\S+)", drawn.line))
    assert lowest < charts.TOP + 20


def test_one_value_is_no_chart_and_equal_times_are_no_error() -> None:
    assert charts.chart("size", "Size", [(NOON, 1)], str) is None
    assert charts.chart("size", "Size", [(NOON, 0), (NOON, 0)], str)
