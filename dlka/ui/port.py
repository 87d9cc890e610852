"""Whether the page can listen where it is told to: asked before the models load, which takes a while."""

from __future__ import annotations

import errno
import os
import socket

from dlka.errors import DlkaError, short


def check_port(host: str | None, port: int) -> None:
    """Raise DlkaError where nothing can listen on that port now. host: as of dlka.ui.app.serve."""
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    if not 1 <= port <= 65535:
        raise DlkaError(f"Port: expected 1 to 65535, got {short(port)}.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):  # UnicodeError: no name of a machine at all
        raise DlkaError(f"Host: expected a name or an address of this machine, got {short(host)}.") from None
    with socket.socket(family, kind) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, so that a restart need not wait
        try:
            tried.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                advice = "stop what listens there, or choose another port (python -m dlka serve --port NUMBER)"
                raise DlkaError(f"Port {port} at {host} is taken already: {advice}.") from None
            raise DlkaError(f"Port {port} at {host} cannot be listened on: {error.strerror}.") from None
