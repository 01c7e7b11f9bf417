"""Inventories: an encrypted vault is read with the password that Ansible is told of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import inventory
from helpers.errors import ConfigError
from helpers.inventory import Host


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose inventory of prod has an encrypted vault."""
    variables = tmp_path / "inventories/prod/group_vars/backup_hosts"
    variables.mkdir(parents=True)
    (tmp_path / "inventories/prod/hosts.yml").write_text("backup_hosts: {hosts: {there: }}")
    (tmp_path / "ansible.cfg").write_text("[inventory]\nunparsed_is_failed = true\n")
    (tmp_path / "password").write_text("of the vault\n")
    vault = variables / "vault.yml"
    vault.write_text("vault_prod_password: secret\n")
    program = Path(sys.executable).with_name("ansible-vault")
    words = [program, "encrypt", "--vault-password-file", tmp_path / "password", vault]
    subprocess.run(words, check=True, capture_output=True)
    return tmp_path


def test_a_vault_without_its_password_is_told_with_the_way_to_give_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANSIBLE_VAULT_PASSWORD_FILE", raising=False)
    with pytest.raises(ConfigError) as told:
        inventory.hosts(root, "prod")
    assert "ANSIBLE_VAULT_PASSWORD_FILE" in told.value.do


def test_a_vault_is_read_with_the_password_that_ansible_is_told_of(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(root / "password"))
    assert inventory.hosts(root, "prod") == [Host("there", local=False)]


def test_an_environment_without_an_inventory_is_told_which_there_are(root: Path) -> None:
    with pytest.raises(ConfigError) as told:
        inventory.find(root, "stage")
    assert "there are: prod" in told.value.what
