"""Sends every SQS record twice. A standard queue may also deliver a record more than once."""

import asyncio
import re

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SENDS_RECORDS = re.compile(rb"AmazonSQS\.SendMessage(Batch)?\r\n", re.IGNORECASE)
_TIMEOUT_SECONDS = 5


async def send_again(target: int, request: bytes) -> bool:
    """Send a request to port `target` once more if it is one whole request that sends records.

    Uses a new connection. Returns whether the request was sent again.
    """
    head, blank, body = request.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not blank or not _SENDS_RECORDS.search(head + b"\r\n") or length is None:
        return False
    if len(body) != int(length[1]):
        return False
    reader, writer = await asyncio.open_connection("127.0.0.1", target)
    try:
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await reader.readuntil(b"\r\n\r\n")
        return True
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
