"""Secret keys are derived from the application and a version, and open no other application."""

import pytest

from chalicelib.domain.auth import check_admin_key, check_key, derive_key
from chalicelib.domain.errors import UnauthenticatedError


def test_a_key_opens_its_application_and_contains_its_version() -> None:
    assert check_key("master", "app", derive_key("master", "app", 3)) == 3


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ok_",
        "ok_1_",
        "ok_x_abc",
        "ok_-1_abc",
        "ok_²_abc",
        "ok_99999999999999999999_abc",
        "nope",
        "ok_1_" + "a" * 200,
        "é",
        "ok_1_\ud800",
        derive_key("master", "another", 1),
        derive_key("another", "app", 1),
        derive_key("master", "app", 1).replace("ok_1", "ok_2"),
        derive_key("master", "app", 1) + "x",
    ],
)
def test_any_other_key_is_refused(key: str) -> None:
    with pytest.raises(UnauthenticatedError):
        check_key("master", "app", key)


def test_without_an_admin_key_every_admin_request_is_refused() -> None:
    check_admin_key("secret", "secret")
    for admin_key, key in (("", ""), ("secret", ""), ("secret", "secret2"), ("secret", "\ud800")):
        with pytest.raises(UnauthenticatedError):
            check_admin_key(admin_key, key)
