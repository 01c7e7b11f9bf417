"""Whether a SCRAM verifier, all that a server keeps of a password, is that of a given one."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode

_VERIFIER = re.compile(
    r"SCRAM-SHA-256\$(?P<rounds>[0-9]+):(?P<salt>[^$:]+)\$(?P<stored>[^$:]+):[^$:]+"
)


def fits(verifier: str | None, password: str) -> bool | None:
    """Whether `verifier` was made of `password`; None where that cannot be said.

    RFC 5802, section 3, and PostgreSQL's documentation of pg_authid.rolpassword. A password that
    is not printable ASCII is normalized before it is hashed, which only libpq does. Another kind
    of hash fits none: it is to be replaced.
    """
    match = _VERIFIER.fullmatch(verifier or "")
    if match is None:
        return False
    if not (password.isascii() and password.isprintable()):
        return None
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), b64decode(match["salt"]), int(match["rounds"])
    )
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), b64decode(match["stored"]))
