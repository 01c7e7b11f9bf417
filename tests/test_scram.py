"""SCRAM verifiers: those that PostgreSQL and libpq make are told apart by password."""

from __future__ import annotations

import pytest

from helpers import postgres, scram

from .servers import Server


@pytest.mark.parametrize("password", ["plain", 'r0tated \'and "odd" $x %y \\z #1'])
def test_a_verifier_made_by_libpq_fits_its_password_and_no_other(
    server: Server, password: str
) -> None:
    with postgres.connect(postgres.parameters(server.url())) as session:
        verifier = session.verifier(password, "someone")
    assert scram.fits(verifier, password) is True
    assert scram.fits(verifier, password + "x") is False


def test_a_password_that_is_normalized_first_is_not_judged(server: Server) -> None:
    with postgres.connect(postgres.parameters(server.url())) as session:
        assert scram.fits(session.verifier("pässword", "someone"), "pässword") is None


@pytest.mark.parametrize(
    "stored", [None, "", "md5f1a3ae1a8dbb2ef9ab4d7bd1b1f0e9d3", "SCRAM-SHA-256$x"]
)
def test_no_password_and_older_hashes_fit_nothing(stored: str | None) -> None:
    assert scram.fits(stored, "plain") is False
