"""What the program's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    place = tmp_path / "store"
    place.mkdir()
    return place
