"""Whose run it is that root starts on a backup host with several environments."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from helpers import accounts

PROD, OTHER = pwd.getpwnam("daemon"), pwd.getpwuid(os.getuid())
BOTH = {"prod": PROD, "other": OTHER}


@pytest.mark.parametrize(
    ("env", "file", "whose"),
    [
        ("prod", None, PROD),
        ("prod", "chat_other_20260101T000000Z", PROD),
        (None, "chat_other_20260101T000000Z", OTHER),
        ("stage", None, None),
        (None, "chat_stage_20260101T000000Z", None),
        (None, "latest", None),
        (None, "/no/such/file", None),
        (None, None, None),
    ],
)
def test_a_run_is_its_environments(
    env: str | None, file: str | None, whose: pwd.struct_passwd | None
) -> None:
    assert accounts.account(env, file, BOTH) == whose


def test_without_a_name_it_is_that_of_the_only_environment() -> None:
    assert accounts.account(None, None, {"prod": PROD}) == PROD
    assert accounts.account(None, "latest", {"prod": PROD}) == PROD


def test_a_file_is_its_owners(tmp_path: Path) -> None:
    assert accounts.account(None, str(tmp_path), BOTH) == OTHER
    assert accounts.account(None, str(tmp_path), {"prod": PROD}) is None


def test_an_env_file_is_for_the_user_that_bears_its_groups_name(tmp_path: Path) -> None:
    (tmp_path / "prod.env").touch()
    own = pwd.getpwuid(os.getuid())
    assert accounts.users(tmp_path) == {"prod": own}


def test_an_env_file_whose_group_nobody_bears_is_roots(tmp_path: Path) -> None:
    file = tmp_path / "prod.env"
    file.touch()
    if os.geteuid() == 0:
        os.chown(file, 0, 54321)
        assert accounts.users(tmp_path) == {}
