"""Secret keys of applications. They are derived, never stored: whoever holds the master key can make them.

A key is `ok_<version>_<mac>`, where `mac` is HMAC-SHA-256 over `<token>:<version>` with the master key,
in URL-safe base64 without padding. To check one takes no look-up; whether its version is still valid is
checked by the script that serves the request.
"""

import base64
import hashlib
import hmac

from chalicelib.domain.errors import UnauthenticatedError

_PREFIX = "ok"
_MAX_KEY_CHARS = 128
_MAX_VERSION_DIGITS = 9
_NOT_OF_APPLICATION = "the key is not one of this application"


def derive_key(master_key: str, token: str, version: int) -> str:
    """The secret key of an application in one version."""
    mac = hmac.new(master_key.encode(), f"{token}:{version}".encode(), hashlib.sha256).digest()
    return f"{_PREFIX}_{version}_{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def check_key(master_key: str, token: str, key: str) -> int:
    """The version of a key that fits this application; raises `UnauthenticatedError` otherwise.

    The comparison takes the same time wherever the difference is.
    """
    prefix, _, rest = key.partition("_")
    if prefix != _PREFIX or len(key) > _MAX_KEY_CHARS:
        raise UnauthenticatedError(_NOT_OF_APPLICATION)
    version = key_version(rest.partition("_")[0])
    if not hmac.compare_digest(key.encode(), derive_key(master_key, token, version).encode()):
        raise UnauthenticatedError(_NOT_OF_APPLICATION)
    return version


def key_version(text: str) -> int:
    """The version that a key or a token names. Raises `UnauthenticatedError` where it is no number."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_VERSION_DIGITS):
        raise UnauthenticatedError(_NOT_OF_APPLICATION)
    return int(text)


def check_admin_key(admin_key: str, key: str) -> None:
    """Raises `UnauthenticatedError` unless `key` is the admin key."""
    if not admin_key or not hmac.compare_digest(key.encode(), admin_key.encode()):
        raise UnauthenticatedError("this needs the admin key")
