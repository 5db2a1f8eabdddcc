"""The applications that chatctl has made, so that the next run fills the same ones.

`var/chatctl.json` holds `{base URL: {name: {"token", "key"}}}` and is readable by its owner only.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from chatctl.failures import ChatctlError

STATE_FILE = Path("var/chatctl.json")


class Credential(msgspec.Struct, frozen=True):
    """What a request of an application needs."""

    token: str
    key: str


Remembered = dict[str, dict[str, Credential]]


def remembered(file: Path, base_url: str, name: str) -> list[Credential]:
    """What the application may be, the likeliest first.

    LocalStack gives the API a new path at every start while MySQL keeps its data: an entry of the same
    host under another path may be the one. The service itself says whether it is.
    """
    known = _read(file)
    host = urlsplit(base_url)[:2]
    urls = [base_url, *reversed([u for u in known if u != base_url and urlsplit(u)[:2] == host])]
    return [known[url][name] for url in urls if name in known.get(url, {})]


def remember(file: Path, base_url: str, name: str, credential: Credential) -> None:
    """Write it down, whole or not at all."""
    known = _read(file)
    known.setdefault(base_url, {})[name] = credential
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(file.name + ".new")
    scratch.unlink(missing_ok=True)
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(known)) + b"\n")
    scratch.replace(file)


def _read(file: Path) -> Remembered:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Remembered)
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise ChatctlError(f"{file} cannot be read: {error}") from None
