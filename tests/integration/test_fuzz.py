"""Hostile backups and env files, made by chance: every verb ends in a sentence and harms nothing.

PGBACKUP_FUZZ_EXAMPLES=20000 tries more than the few of every test run.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invoke.context import Context
from invoke.exceptions import Exit

from helpers import checks, cli, toc
from helpers.checks import Verification
from helpers.errors import VerificationError
from helpers.names import parse_name
from helpers.tocfile import Entry

from ..running import environment
from ..servers import Server
from .disturbing import take
from .test_verify import SCHEMA, reseal

EXAMPLES = int(os.environ.get("PGBACKUP_FUZZ_EXAMPLES", "60"))
CODES = {0, 2, 4, 5, 7, 8}
"""What a verb that needs no server may end with; 1 would be something that nobody thought of."""

TEXTS = st.sampled_from(
    [
        "",
        "..",
        "../../outside/precious",
        "/etc/passwd",
        "a\0b",
        "\x1b[2J\x1b]0;owned\x07",
        "\x9b31m",
        "\u202egnp.exe",
        "one\nverified, every file and every row.\r",
        "\ud800",
        "$(touch pwned)",
        "`touch pwned`; touch pwned",
        "%s%n{0}[bold]",
        "-rf",
        "A" * 70_000,
        "9" * 5_000,
    ]
) | st.text(max_size=8)
VALUES = st.recursive(
    TEXTS
    | st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.sampled_from([2**31, 2**63, -(2**63), 10**30, 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=6,
)

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def original(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two backups of the real program."""
    store = tmp_path_factory.mktemp("fuzz") / "store"
    store.mkdir()
    with server.database() as source:
        source.execute(SCHEMA.format(vector="float8[]", value="'{1,2,3}'"))
        for _ in range(2):
            take(environment(source.url, store), store.parent)
    return store


def walk(document: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON document, as container and key."""
    found = []
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(pairs):
        found.append((document, key))
        if isinstance(value, dict | list):
            found += walk(value)
    return found


@st.composite
def of_json(draw: st.DrawFn) -> Damage:
    """A manifest or a record in which one thing is something else, or gone."""
    file = draw(st.sampled_from(["manifest.json", "manifest.json", "verification.json"]))
    where, value = draw(st.integers(0, 10_000)), draw(VALUES)
    gone, sealed = draw(st.booleans()), draw(st.booleans())

    def damage(place: Path) -> None:
        path = place / file
        document = json.loads(path.read_text())
        places = walk(document)
        container, key = places[where % len(places)]
        if gone:
            del container[key]
        else:
            container[key] = value
        path.write_text(json.dumps(document))
        if sealed and file == "verification.json":
            with suppress(ValueError):
                path.write_bytes(Verification.model_validate(document).to_bytes())
        elif sealed:
            _reseal(place)

    return damage


def _reseal(place: Path) -> None:
    """As somebody does who knows how the parts vouch for each other."""
    with suppress(KeyError, TypeError, AttributeError, ValueError, OSError):
        reseal(place)
        data = (place / "manifest.json").read_bytes()
        record = checks.read(place)
        if record:
            digest = hashlib.sha256(data).hexdigest()
            new = record.model_copy(update={"manifest_sha256": digest})
            (place / "verification.json").write_bytes(new.to_bytes())


@st.composite
def of_toc(draw: st.DrawFn) -> Damage:
    """A table of contents in which one field of one entry is something else."""
    number, field = draw(st.integers(0, 1000)), draw(st.sampled_from(fields(Entry)))
    text, whole = draw(TEXTS | st.none()), draw(st.integers(-(2**31) + 1, 2**31 - 1))
    several, sealed = draw(st.lists(TEXTS, max_size=3)), draw(st.booleans())

    def damage(place: Path) -> None:
        path = place / "toc.dat"
        contents = toc.parse(path.read_bytes())
        entries = list(contents.entries)
        before = entries[number % len(entries)]
        old = getattr(before, field.name)
        new = whole if isinstance(old, int) else tuple(several) if isinstance(old, tuple) else text
        entries[number % len(entries)] = replace(before, **{field.name: new})
        with suppress(UnicodeEncodeError, VerificationError):
            path.write_bytes(toc.build(replace(contents, entries=tuple(entries))))
        if sealed:
            _reseal(place)

    return damage


@st.composite
def of_bytes(draw: st.DrawFn) -> Damage:
    """Any file with some bytes changed, cut off, or put in."""
    number, position = draw(st.integers(0, 1000)), draw(st.integers(0, 1 << 20))
    new, length = draw(st.binary(max_size=40)), draw(st.integers(0, 40))
    end, sealed = draw(st.booleans()), draw(st.booleans())

    def damage(place: Path) -> None:
        files = sorted(place.iterdir())
        path = files[number % len(files)]
        data = path.read_bytes()
        at = position % (len(data) + 1)
        path.write_bytes(data[:at] + new + (b"" if end else data[at + length :]))
        if sealed:
            _reseal(place)

    return damage


@st.composite
def of_files(draw: st.DrawFn) -> Damage:
    """A file that is a link out of the store, a directory, gone, or one more."""
    number = draw(st.integers(0, 1000))
    kind = draw(st.sampled_from(["link", "directory", "gone", "more", "hard"]))
    name = draw(TEXTS.filter(lambda text: text not in {"", "..", "."} and len(text) < 200))

    def damage(place: Path) -> None:
        files = sorted(place.iterdir())
        path = files[number % len(files)]
        precious = place.parent.parent / "outside" / "precious"
        if kind == "more":
            with suppress(ValueError, OSError):
                (place / name.replace("/", "_")).write_text("more")
            return
        path.unlink()
        if kind == "link":
            path.symlink_to(precious)
        elif kind == "hard":
            path.hardlink_to(precious)
        elif kind == "directory":
            path.mkdir()

    return damage


def hashes(place: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in place.iterdir()}


@contextmanager
def hostile(original: Path, damages: list[Damage], place: Path) -> Iterator[Path]:
    """A store with a good backup and a newer one that is not; and what lies outside."""
    shutil.rmtree(place, ignore_errors=True)
    store = Path(shutil.copytree(original, place / "store"))
    (place / "outside").mkdir()
    (place / "outside" / "precious").write_text("precious")
    victim = max(path for path in store.iterdir() if parse_name(path.name))
    for damage in damages:
        # What is damaged already may not hold what a second damage looks for.
        with suppress(ValueError, VerificationError, IsADirectoryError, FileNotFoundError):
            damage(victim)
    yield store


def answer(verb: str, environ: dict[str, str], cwd: Path, **options: object) -> tuple[int, str]:
    """What a verb ends with, and prints."""
    task = next(task for task in cli.VERBS if task.name == verb)
    said, code = io.StringIO(), 0
    with mock.patch.dict(os.environ, environ), redirect_stdout(said), redirect_stderr(said):
        before = Path.cwd()
        os.chdir(cwd)
        try:
            task.body(Context(), **options)
        except Exit as end:
            code = end.code
        finally:
            os.chdir(before)
    return code, said.getvalue()


def assert_harmless(code: int, said: str, cwd: Path) -> None:
    assert code in CODES, said
    assert "Traceback" not in said
    odd = {c for c in said if not c.isprintable() and c != "\n"}
    assert not odd, (odd, said)
    assert not any(line.startswith("verified, every") for line in said.splitlines()), said
    assert (cwd / "outside" / "precious").read_text() == "precious"
    assert not list(cwd.rglob("pwned"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(damages=st.lists(of_json() | of_toc() | of_bytes() | of_files(), min_size=1, max_size=2))
def test_a_hostile_backup_ends_every_verb_in_a_sentence_and_costs_no_other(
    original: Path, tmp_path: Path, damages: list[Damage]
) -> None:
    with hostile(original, damages, tmp_path / "world") as store:
        cwd = store.parent
        good = min(path.name for path in store.iterdir() if parse_name(path.name))
        intact = hashes(store / good)
        keep = {f"KEEP_{rule}": "0" for rule in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")}
        env = environment("postgresql://nobody@127.0.0.1:1/chat", store, KEEP_LAST="1", **keep)
        victim = max(path for path in store.iterdir() if parse_name(path.name))
        for verb, options in (
            ("list", {}),
            ("accept", {"file": victim.name}),
            ("verify", {"file": str(victim), "quiet": True}),
            ("verify", {"file": "latest"}),
            ("prune", {}),
        ):
            assert_harmless(*answer(verb, env, cwd, **options), cwd)
        verified = answer("verify", env, cwd, file=victim.name, quiet=True)[0] == 0
        assert_harmless(*answer("prune", env, cwd, apply=True), cwd)
        if not verified:
            assert hashes(store / good) == intact


LINES = st.lists(
    st.tuples(
        st.sampled_from(
            ["DATABASE_URL", "BACKUP_DIR", "BACKUP_JOBS", "KEEP_LAST", "PGHOST", "BACKUP_ENV"]
        )
        | TEXTS,
        TEXTS,
    ),
    max_size=5,
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=LINES, noise=st.binary(max_size=20))
def test_a_hostile_env_file_ends_in_a_sentence(
    tmp_path: Path, lines: list[tuple[str, str]], noise: bytes
) -> None:
    world = tmp_path / "world"
    shutil.rmtree(world, ignore_errors=True)
    (world / "outside").mkdir(parents=True)
    (world / "outside" / "precious").write_text("precious")
    text = "".join(f"{key}={value}\n" for key, value in lines)
    (world / ".env.test").write_bytes(text.encode("utf-8", "surrogatepass") + noise)
    (world / ".env.test").chmod(0o600)
    env = {k: v for k, v in environment(None, None).items() if not k.startswith("BACKUP_B")}
    for verb, options in (("list", {"env": "test"}), ("prune", {"env": "test"})):
        assert_harmless(*answer(verb, env, world, **options), world)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=TEXTS, selector=TEXTS)
def test_hostile_names_in_a_store_are_neither_backups_nor_printed_raw(
    tmp_path: Path, name: str, selector: str
) -> None:
    world = tmp_path / "world"
    shutil.rmtree(world, ignore_errors=True)
    (world / "outside").mkdir(parents=True)
    (world / "outside" / "precious").write_text("precious")
    store = world / "store"
    store.mkdir()
    for pattern in ("{}", "{}_test_20260101T000000Z", ".partial-{}_test_20260101T000000Z"):
        with suppress(ValueError, OSError):
            (store / pattern.format(name.replace("/", "%2F"))).mkdir()
    env = environment("postgresql://nobody@127.0.0.1:1/chat", store)
    for verb, options in (("list", {}), ("prune", {"apply": True}), ("verify", {"file": selector})):
        assert_harmless(*answer(verb, env, world, **options), world)
