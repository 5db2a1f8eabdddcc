"""User tokens: which are valid, and the error for those that are not."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from chalicelib.domain.auth import Tenant, User, derive_key
from chalicelib.domain.errors import UnauthenticatedError
from chalicelib.entrypoints.http.auth import check_user_token, is_user_token

MASTER = "a master key"
TOKEN = "a" * 30
NOW = 1_790_000_000
KEY = derive_key(MASTER, TOKEN, 3)
CLAIMS = {"sub": "ann", "exp": NOW + 60}


def signed(
    claims: Any = None, key: str = KEY, kid: Any = "3", algorithm: str = "HS256", **more: Any
) -> str:
    payload = {**CLAIMS, **more} if claims is None else claims
    headers = {} if kid is None else {"kid": kid}
    return jwt.PyJWS().encode(
        json.dumps(payload).encode(), key, algorithm=algorithm, headers=headers
    )


def check(credential: str, token: str = TOKEN) -> Tenant:
    return check_user_token(MASTER, token, credential, NOW * 1000)


def refusal(credential: str, token: str = TOKEN) -> str:
    with pytest.raises(UnauthenticatedError) as refused:
        check(credential, token)
    return str(refused.value)


def test_a_token_names_its_user_and_the_version_of_the_key() -> None:
    assert check(signed()) == Tenant(TOKEN, 3, user=User("ann"))


def test_pyjwt_makes_valid_tokens() -> None:
    token = jwt.encode(CLAIMS, KEY, algorithm="HS256", headers={"kid": "3"})
    assert is_user_token(token)
    assert check(token).user == User("ann")


def test_the_example_in_the_documents_makes_valid_tokens() -> None:
    page = (Path(__file__).parents[2] / "docs" / "credentials.md").read_text()
    example: dict[str, Any] = {}
    exec(page.split("```python")[1].split("```")[0], example)
    token = example["user_token"](KEY, "ann")
    assert check_user_token(MASTER, TOKEN, token, int(time.time() * 1000)).user == User("ann")


@pytest.mark.parametrize(
    ("claims", "user"),
    [
        ({"scope": "read write"}, User("ann")),
        ({"scope": "write read"}, User("ann")),
        ({"scope": "read"}, User("ann", may_write=False)),
        ({"scope": "write"}, User("ann", may_read=False)),
        ({"chats": [3, 1, 3]}, User("ann", chats=frozenset({1, 3}))),
        ({"chats": []}, User("ann", chats=frozenset())),
        ({"sub": "Zoë 🦊"}, User("Zoë 🦊")),
        ({"sub": "s" * 255}, User("s" * 255)),
        ({"iat": NOW, "jti": "x", "iss": "our server", "own": [1]}, User("ann")),
        ({"exp": NOW + 0.5, "nbf": NOW - 0.5}, User("ann")),
        ({"exp": NOW - 9.9}, User("ann")),
        ({"nbf": NOW + 10}, User("ann")),
        ({"exp": NOW + 30 * 24 * 3600 + 10}, User("ann")),
    ],
    ids=str,
)
def test_claims_set_the_rights_of_the_user(claims: dict[str, Any], user: User) -> None:
    assert check(signed(**claims)).user == user


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", ""),
        ("sub", "s" * 256),
        ("sub", 7),
        ("sub", None),
        ("exp", NOW - 10),
        ("exp", str(NOW + 60)),
        ("exp", True),
        ("exp", None),
        ("exp", NOW + 30 * 24 * 3600 + 11),
        ("exp", NOW * 1000),
        ("nbf", NOW + 11),
        ("nbf", None),
        ("aud", "another service"),
        ("aud", None),
        ("scope", ""),
        ("scope", "admin"),
        ("scope", "read admin"),
        ("scope", ["read"]),
        ("scope", None),
        ("chats", None),
        ("chats", "1"),
        ("chats", ["1"]),
        ("chats", [0]),
        ("chats", [1.5]),
        ("chats", [2**53]),
    ],
)
def test_an_invalid_claim_is_named(claim: str, value: Any) -> None:
    assert claim in refusal(signed(**{claim: value}))


@pytest.mark.parametrize("claim", ["sub", "exp"])
def test_a_missing_claim_is_named(claim: str) -> None:
    assert claim in refusal(signed({k: v for k, v in CLAIMS.items() if k != claim}))


@pytest.mark.parametrize("claims", [[], "x", None])
def test_claims_are_an_object(claims: Any) -> None:
    assert "cannot be read" in refusal(signed([] if claims is None else claims))


def raw(header: bytes, payload: bytes = b"{}", signature: bytes = b"") -> str:
    parts = (header, payload, signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def by_hand(algorithm: str, digest: Any) -> str:
    header = json.dumps({"alg": algorithm, "kid": "3"}).encode()
    content = raw(header, json.dumps(CLAIMS).encode()).rpartition(".")[0]
    mac = hmac.new(KEY.encode(), content.encode(), digest).digest()
    return raw(header, json.dumps(CLAIMS).encode(), mac)


def test_a_token_made_without_a_library_is_valid() -> None:
    assert check(by_hand("HS256", hashlib.sha256)).user == User("ann")


NOT_SIGNED = {
    "another application": signed(key=derive_key(MASTER, "b" * 30, 3)),
    "another version": signed(kid="2"),
    "another master key": signed(key=derive_key("another", TOKEN, 3)),
    "no version": signed(kid=None),
    "a version that is no number": signed(kid="three"),
    "an empty version": signed(kid=""),
    "a version with other digits": signed(kid="³"),
    "a version without end": signed(kid="3" * 400),
    "the version as a number": raw(b'{"alg":"HS256","kid":3}'),
    "another algorithm with the right key": by_hand("HS512", hashlib.sha512),
    "no algorithm": signed(key="", algorithm="none"),
    "no algorithm, by hand": raw(b'{"alg":"none","kid":"3"}', json.dumps(CLAIMS).encode()),
    "an algorithm in capitals": raw(b'{"alg":"NONE","kid":"3"}', json.dumps(CLAIMS).encode()),
    "a public key's algorithm": raw(b'{"alg":"RS256","kid":"3"}', json.dumps(CLAIMS).encode()),
    "no signature": signed().rpartition(".")[0] + ".",
    "another signature": signed()[:-4] + "AAAA",
    "other claims": ".".join(
        [signed().split(".")[0], signed(sub="bob").split(".")[1], signed().split(".")[2]]
    ),
    "a header that is nested deeply": raw(b'{"alg":' + b"[" * 5_000),
    "a header that is no object": raw(b"[]"),
    "a header that is no JSON": raw(b"{x"),
    "a header with half a character": raw(b'{"alg":"HS256","kid":"\\ud800"}'),
    "no base64": "ey!.ey!.!",
    "a critical extension": raw(b'{"alg":"HS256","kid":"3","crit":["x"],"x":1}'),
    "no end": "ey" + "a" * 9_000 + "..",
    "no token": "ey..",
    "letters of other scripts": "eyé.é.é",
    "half a character": "ey\ud800..",
}


@pytest.mark.parametrize("why", NOT_SIGNED)
def test_every_token_without_a_valid_signature_has_the_same_error(why: str) -> None:
    assert refusal(NOT_SIGNED[why]) == refusal("ey..")


def test_a_token_that_is_too_long_is_not_read() -> None:
    assert "not signed" in refusal(signed(scoped_to_user="x" * 8_192))


def test_the_error_of_a_wrong_signature_shows_nothing_of_the_claims() -> None:
    assert refusal(signed(exp=0, key="another key of at least 32 bytes ...")) == refusal("ey..")
