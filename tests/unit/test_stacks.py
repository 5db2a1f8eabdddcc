"""Each stack uses its own stores."""

import pytest

from infra.local.paths import EXTERNAL_VARIABLES, TEST_ORIGIN, stack_named


@pytest.mark.parametrize("stack", ["test", "faults", "bench"])
def test_a_run_of_tests_or_faults_never_takes_the_stores_that_somebody_works_with(
    stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for service, variable in EXTERNAL_VARIABLES["local"].items():
        monkeypatch.setenv(variable, f"a {service} in production")
    assert len(stack_named("local").external) == 4
    assert stack_named(stack).external == {}


def test_the_origin_that_somebody_lets_in_is_let_in_on_their_own_stack_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ORDINAL_CORS_ORIGIN", "*")
    origins = {name: stack_named(name).cors_origin for name in EXTERNAL_VARIABLES}
    assert origins == {"local": "*", "test": TEST_ORIGIN, "faults": "", "bench": ""}
