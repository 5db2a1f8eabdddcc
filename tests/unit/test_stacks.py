"""Stacks of tests use only their own stores."""

import pytest

from infra.local.paths import EXTERNAL_VARIABLES, TEST_ORIGIN, stack_named


@pytest.mark.parametrize("stack", ["test", "faults", "bench"])
def test_stacks_of_tests_never_use_the_stores_that_the_environment_names(
    stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service, variable in EXTERNAL_VARIABLES["local"].items():
        monkeypatch.setenv(variable, f"a {service} in production")
    assert len(stack_named("local").external) == 4
    assert stack_named(stack).external == {}


def test_the_cors_origin_of_the_environment_applies_only_to_the_local_stack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORDINAL_CORS_ORIGIN", "*")
    origins = {name: stack_named(name).cors_origin for name in EXTERNAL_VARIABLES}
    assert origins == {"local": "*", "test": TEST_ORIGIN, "faults": "", "bench": ""}
