"""What --to of a restore may say."""

from __future__ import annotations

import pytest

from helpers import destination
from helpers.errors import ConfigError

from .running import SECRET


@pytest.mark.parametrize("to", [f"postgresql://ann:{SECRET}@db/chat", f"host=db password={SECRET}"])
def test_a_password_goes_to_no_other_machine_on_command_lines(to: str) -> None:
    with pytest.raises(ConfigError) as refused:
        destination.refuse_password(to)
    assert SECRET not in refused.value.what + refused.value.do


@pytest.mark.parametrize("to", [None, "chat", "postgresql://ann@db/chat"])
def test_what_holds_no_password_may_go_there(to: str | None) -> None:
    destination.refuse_password(to)
