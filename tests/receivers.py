"""Real receivers on loopback for what a run tells: HTTP and SMTP, well or ill."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True)
class Request:
    """What arrived by HTTP."""

    method: str
    path: str
    body: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Web:
    """An HTTP server that answers `status`; with `hold` set it takes requests and is silent."""

    port: int
    received: list[Request] = field(default_factory=list)
    status: int = 200
    hold: threading.Event | None = None

    @property
    def paths(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.received]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What came from Apprise's json:// service."""
        return [r.json for r in self.received if r.body.startswith("{")]


@contextmanager
def web(address: str = "127.0.0.1") -> Iterator[Web]:
    """A running HTTP receiver."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode()
            state.received.append(Request(self.command, self.path, body))
            if state.hold:
                state.hold.wait(600)
            self.send_response(state.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(ConnectionError):  # whoever asked has given up
                super().handle()

    server = ThreadingHTTPServer((address, 0), Handler)
    server.daemon_threads = True
    state = Web(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        if state.hold:
            state.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mail:
    """An SMTP server's port, and the letters that arrived."""

    port: int
    letters: list[EmailMessage] = field(default_factory=list)


@contextmanager
def mail(address: str = "127.0.0.1") -> Iterator[Mail]:
    """A running SMTP receiver."""
    state = Mail(free_port())

    class Handler:
        async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
            data = envelope.content if isinstance(envelope.content, bytes) else b""
            letter = message_from_bytes(data, policy=policy.default)
            assert isinstance(letter, EmailMessage)
            state.letters.append(letter)
            return "250 taken"

    controller = Controller(Handler(), hostname=address, port=state.port)
    controller.start()
    try:
        yield state
    finally:
        controller.stop()


def free_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
