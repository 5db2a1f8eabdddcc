"""How requests are tried again, and how errors read."""

import httpx
import pytest

from chatctl.api import Api
from chatctl.failures import ChatctlError, GaveUpError, RefusedError, StoppedError
from chatctl.patience import Patience
from chatctl.remembered import Credential
from tests.fakes.ports import SETTINGS
from tests.unit.chatctl_service import URL, Operator

NOBODY = Credential("t", "key")


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(monkeypatch)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_succeed_later_is_tried_again_after_what_the_service_asks_for(
    operator: Operator, status: int
) -> None:
    operator.service.fail = lambda n: status if n < 6 else None
    assert operator.api().get_application().name == "an application"
    assert operator.pauses == [7, 7, 7, 7, 8, 16]


def test_pauses_grow_up_to_half_a_minute(operator: Operator) -> None:
    operator.service.fail = lambda n: "before" if n < 8 else None
    operator.api(limit_seconds=600).get_application()
    assert operator.pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_it_gives_up_when_nothing_came_through_for_long_enough(operator: Operator) -> None:
    operator.service.fail = lambda n: "before"
    with pytest.raises(GaveUpError, match="after 60 s without progress: ConnectError: made up"):
        operator.api().get_application()
    assert sum(operator.pauses) <= 60


def test_the_operator_hears_of_pauses_only_when_they_last() -> None:
    said: list[str] = []
    patience = Patience(clock=lambda: 0, wait=lambda seconds: False, say=said.append)
    for attempt in range(5):
        patience.pause(attempt, 0, "503")
    assert said == ["503; trying again in 4 s", "503; trying again in 8 s"]


def test_progress_of_another_request_gives_new_patience() -> None:
    now = 0.0
    patience = Patience(60, clock=lambda: now, wait=lambda seconds: False)
    now = 59.0
    patience.progressed()
    now = 100.0
    patience.pause(0, 0, "why")
    now = 119.0
    with pytest.raises(GaveUpError):
        patience.pause(0, 2, "why")


def test_a_run_that_was_stopped_sends_nothing_more(operator: Operator) -> None:
    api = operator.api()
    operator.patience.stop()
    with pytest.raises(StoppedError):
        api.get_application()
    assert operator.service.requests == []


def test_a_pause_ends_when_the_run_is_stopped() -> None:
    patience = Patience()
    patience.stop()
    with pytest.raises(StoppedError):
        patience.pause(10, 200, "an outage")


def test_a_refusal_is_shown_with_title_detail_and_faults(operator: Operator) -> None:
    with pytest.raises(RefusedError) as refused:
        operator.api().post_messages(1, [b'{"body":7}'], "key")
    assert refused.value.status == 422
    assert "422 The request breaks a rule: " in refused.value.message
    assert "/messages/0/body: must be `str`, is `int`" in refused.value.message


def test_what_api_gateway_itself_says_is_shown() -> None:
    def forbid(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"message": "Forbidden"})

    api = Api("http://ordinal.test", NOBODY, Patience(), httpx.MockTransport(forbid))
    with pytest.raises(RefusedError, match=r"^403 Forbidden$"):
        api.get_application()


def test_an_answer_of_something_else_is_named_as_that() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="<html>")

    api = Api("http://ordinal.test", NOBODY, Patience(), httpx.MockTransport(page))
    with pytest.raises(
        ChatctlError, match=r"what answers at http://ordinal\.test/applications/t is not"
    ):
        api.get_application()


def test_an_application_whose_answer_was_lost_is_asked_for_again_under_its_key(
    operator: Operator,
) -> None:
    operator.service.fail = lambda n: "after" if n == 0 else None
    admin, patience = Credential("", SETTINGS.admin_key), Patience(wait=lambda seconds: False)
    assert Api(URL, admin, patience, operator.service).create_application("x").secret_key
    first, second = operator.service.requests
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]


def test_lists_are_followed_over_pages_below_the_path_of_the_stage(operator: Operator) -> None:
    with operator.api() as api:
        for i in range(230):
            api.create_chat(f"chat {i}", {}, str(i))
        assert [c.number for c in api.list_chats()] == list(range(1, 231))
    assert {r.url.path.split("/")[1] for r in operator.service.requests} == {"stage"}
