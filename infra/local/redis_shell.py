"""A small command line for Redis, on redis-py; runs in `.venv`."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import redis


def main(url: str) -> None:
    """Read commands, print replies, until the input ends."""
    client: Any = redis.Redis.from_url(url, decode_responses=True)
    prompt = f"{url.rpartition('@')[2].removeprefix('redis://')}> "
    interactive = sys.stdin.isatty()
    while True:
        try:
            line = input(prompt if interactive else "")
        except (EOFError, KeyboardInterrupt):
            return
        try:
            words = shlex.split(line)
            if words and words[0].lower() in {"quit", "exit"}:
                return
            if words:
                show(client.execute_command(*words))
        except BrokenPipeError:
            sys.stderr.close()
            return
        except (redis.RedisError, ValueError) as error:
            print(f"(error) {error}")


def show(reply: Any, indent: str = "") -> None:
    """Print a reply; lists and maps an entry a line."""
    if isinstance(reply, dict):
        reply = [f"{name}: {value}" for name, value in reply.items()]
    if isinstance(reply, list | tuple | set):
        for number, entry in enumerate(reply, 1):
            print(f"{indent}{number})", end=" ")
            show(entry, indent + "   ")
        if not reply:
            print("(empty)")
    else:
        print("(nil)" if reply is None else reply)


if __name__ == "__main__":
    main(sys.argv[1])
