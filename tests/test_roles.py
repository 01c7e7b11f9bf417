"""The roles: every input is described, with the default that it has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]

ROLES = sorted((ROOT / "playbooks/roles").iterdir())
PLAYBOOKS = [ROOT / "deploy-backups.yml", *sorted((ROOT / "playbooks").glob("*.yml"))]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def options(role: Path) -> dict[str, Any]:
    described: dict[str, Any] = read(role / "meta/argument_specs.yml")
    return dict(described["argument_specs"]["main"]["options"])


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_specification_of_a_role_has_its_very_defaults(role: Path) -> None:
    specified = {name: option.get("default") for name, option in options(role).items()}
    assert specified == read(role / "defaults/main.yml")


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_input_of_a_role_is_described_and_bears_its_name(role: Path) -> None:
    for name, option in options(role).items():
        assert name.startswith(f"{role.name}_")
        assert option["description"]
        assert option["type"]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_readme_of_a_role_says_what_a_second_run_changes(role: Path) -> None:
    text = (role / "README.md").read_text()
    assert "## Idempotence\n" in text
    assert set(re.findall(rf"`({role.name}_\w+)`", text)) <= set(options(role))


def test_roles_that_share_a_path_agree_on_it() -> None:
    host = read(ROOT / "playbooks/roles/backup_host/defaults/main.yml")
    schedule = read(ROOT / "playbooks/roles/backup_schedule/defaults/main.yml")
    for what in ("store", "log_dir"):
        assert host[f"backup_host_{what}"] == schedule[f"backup_schedule_{what}"]


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda playbook: playbook.name)
def test_a_playbook_has_no_mistake_of_syntax(playbook: Path) -> None:
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [program, "--syntax-check", "--inventory", "inventories/prod", playbook],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
