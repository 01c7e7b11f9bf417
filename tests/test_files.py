"""What the operating system says of files, in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from helpers.errors import StorageError
from helpers.files import storage_errors


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EROFS, "read-write"),
        (errno.EACCES, "backup user"),
        (errno.ENOENT, "mount"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "file system"),
    ],
)
def test_what_the_system_says_becomes_an_error_with_advice(number: int, advice: str) -> None:
    with pytest.raises(StorageError) as caught, storage_errors(Path("/backups")):
        raise OSError(number, os.strerror(number))
    assert "/backups" in caught.value.what
    assert os.strerror(number) in caught.value.what
    assert advice in caught.value.do
    assert caught.value.exit_code == 4
