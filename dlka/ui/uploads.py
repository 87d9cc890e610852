"""What visitors send: uploads count as they come, nothing is larger than can be used, a full disk is a sentence."""

from __future__ import annotations

from typing import Any

from anyio.to_thread import run_sync
from fastapi import HTTPException
from starlette.responses import PlainTextResponse

from dlka import temporary
from dlka.errors import DISK_FULL, message
from dlka.images import MAX_BYTES

MOST = 2 * MAX_BYTES  # bytes of a request that is no upload: room for a picture as a data: URL
TOO_MUCH = "This is more than fits at once: at most {:,} bytes. Send less, or in several parts."
FORM = "Files are sent to /upload, and to nowhere else."


class Uploads:
    """ASGI middleware around all that is sent. gradio's own answer to a full disk would be an empty error."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Hand a request on, and make room for what it really sends: what it says that it will may be a lie."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        upload, headers = scope["path"].endswith("/upload"), dict(scope["headers"])
        most = int(temporary.ROOM * temporary.LIMIT) if upload else MOST
        length, came = headers.get(b"content-length", b""), 0
        if not upload and headers.get(b"content-type", b"").startswith(b"multipart/"):
            await PlainTextResponse(FORM, status_code=415)(scope, receive, send)  # gradio would write them anywhere
            return
        if length.isdigit() and int(length) > most:
            await PlainTextResponse(TOO_MUCH.format(most), status_code=413)(scope, receive, send)
            return

        async def received() -> Any:
            nonlocal came
            part = await receive()
            size = len(part.get("body", b""))
            came += size
            if came > most:
                raise HTTPException(413, TOO_MUCH.format(most))
            if upload and size:
                await run_sync(temporary.make_room, size)
            return part

        try:
            await self.app(scope, received, send)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            await PlainTextResponse(message(error), status_code=507)(scope, receive, send)
