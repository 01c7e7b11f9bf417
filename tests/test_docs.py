"""What is written for people agrees with what the code does."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tasks
from helpers.keys import KEYS, OWN_PREFIXES

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True
).stdout.split()


def section(title: str, text: str = README) -> str:
    """What stands under a heading, up to the next of the same level."""
    return text.split(f"\n## {title}\n")[1].split("\n## ", maxsplit=1)[0]


def test_the_table_of_settings_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \|$", section("Settings"), re.MULTILINE)
    own = {n: key for n, key in KEYS.items() if key.field or n.startswith(OWN_PREFIXES)}
    assert rows == [(name, key.description, key.default or "none") for name, key in own.items()]


def test_every_verb_stands_in_the_table_of_commands() -> None:
    table = section("Commands")
    for name in tasks.ns.task_names:
        assert re.search(rf"`(invoke )?{name}\b", table), name


def test_every_make_target_stands_in_the_table_and_in_the_help() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    shown = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True).stdout
    for target in targets:
        assert re.search(rf"^  {target} ", shown, re.MULTILINE), target
        assert target == "help" or f"`make {target}" in section("Commands"), target


@pytest.mark.parametrize("verb", sorted(set(tasks.ns.task_names)))
def test_every_option_of_a_verb_has_help(verb: str) -> None:
    task = tasks.ns.tasks[verb]
    assert task.__doc__
    for argument in task.get_arguments():
        assert argument.help, f"{verb} --{argument.name}"


def modules() -> dict[str, set[str]]:
    """Each module of helpers, with those that it imports."""
    found = {}
    for module in (PROJECT / "helpers").glob("*.py"):
        if module.stem != "__init__":
            tree = ast.parse(module.read_text(encoding="utf-8"))
            found[module.stem] = {
                name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.level == 1
                for name in ([node.module] if node.module else [alias.name for alias in node.names])
            }
    return found


def test_the_list_of_modules_says_what_they_say_of_themselves() -> None:
    listed = dict(re.findall(r"^\| `(\w+)\.py` \| (.*) \|$", CONTRIBUTING, re.MULTILINE))
    assert set(listed) == set(modules())
    for name, idea in listed.items():
        tree = ast.parse((PROJECT / "helpers" / f"{name}.py").read_text(encoding="utf-8"))
        said = (ast.get_docstring(tree) or "").split("\n\n", maxsplit=1)[0]
        assert idea == " ".join(said.split())


def test_modules_import_only_those_above_them() -> None:
    listed = re.findall(r"^\| `(\w+)\.py` \|", CONTRIBUTING, re.MULTILINE)
    imported = modules()
    for place, name in enumerate(listed):
        for target in imported[name] & set(listed):
            assert target in listed[:place], f"{name} imports {target}, which stands below it"


def test_links_between_documents_lead_somewhere() -> None:
    for name in TRACKED:
        if name.endswith(".md"):
            place = PROJECT / name
            for target in re.findall(
                r"\]\((?!https?:)([^)#]+)\)", place.read_text(encoding="utf-8")
            ):
                assert (place.parent / target).exists(), f"{name}: {target}"


def test_requirements_are_pinned_with_hashes_and_name_no_index() -> None:
    for name in ("requirements.txt", "requirements-host.txt", "requirements-dev.txt"):
        lines = (PROJECT / name).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if re.match(r"[a-z]", line):
                assert "==" in line, line
                assert "--hash=sha256:" in lines[number + 1], line
            assert "://" not in line
            assert not line.startswith("--"), line


def test_the_program_answers_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "helpers", "--version"], cwd=PROJECT, capture_output=True, text=True
    )
    assert re.fullmatch(r"pgbackup \d+\.\d+\.\d+", done.stdout.strip(), re.IGNORECASE)
