"""Delivers twice: what is sent to a queue is sent once more, as a queue may do by itself."""

import asyncio
import re

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SENDS = re.compile(rb"AmazonSQS\.SendMessage(Batch)?\r\n", re.IGNORECASE)


async def send_twice(target: int, sent: bytes) -> bool:
    """Where `sent` is one whole request that sends records, send it on a connection of its own.

    Says whether it did.
    """
    head, blank, body = sent.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if not blank or not _SENDS.search(head + b"\r\n") or length is None:
        return False
    if len(body) != int(length[1]):
        return False
    reader, writer = await asyncio.open_connection("127.0.0.1", target)
    try:
        writer.write(sent)
        await writer.drain()
        async with asyncio.timeout(5):
            await reader.readuntil(b"\r\n\r\n")
        return True
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        writer.close()
