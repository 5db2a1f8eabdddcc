"""The user tokens that the client signs."""

import time

import jwt
import pytest
from ordinal_client.tokens import user_token

KEY = "ok_3_Zs8mWq1yTg4bNc7vXe0hLkRd5uJfPa3iOt6wBn9MrHQ"


def test_a_token_names_its_user_its_end_and_its_key() -> None:
    before = int(time.time())
    token = user_token(KEY, "ann", 600)
    assert jwt.get_unverified_header(token)["kid"] == "3"
    claims = jwt.decode(token, KEY, algorithms=["HS256"])
    assert (claims["sub"], claims["scope"]) == ("ann", "read write")
    assert before + 600 <= claims["exp"] <= int(time.time()) + 600
    assert "chats" not in claims


def test_a_token_may_be_for_reading_some_chats_only() -> None:
    token = user_token(KEY, "ann", 600, scope="read", chats=range(1, 3))
    claims = jwt.decode(token, KEY, algorithms=["HS256"])
    assert (claims["scope"], claims["chats"]) == ("read", [1, 2])


def test_an_expired_token_is_recognized() -> None:
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(user_token(KEY, "ann", -1), KEY, algorithms=["HS256"])
