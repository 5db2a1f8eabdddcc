"""API Gateway's own answers are problems of the table."""

import json

import botocore.session
import pytest

from chalicelib.entrypoints.http.problems import PROBLEMS, TYPE_PREFIX
from infra.deploy.gateway_answers import CODES, gateway_answer
from infra.deploy.settings import checked_origin


def test_every_answer_that_api_gateway_can_give_itself_is_put() -> None:
    model = botocore.session.get_session().get_service_model("apigateway")
    assert set(CODES) == set(model.shape_for("GatewayResponseType").enum)


@pytest.mark.parametrize("kind", CODES)
def test_it_is_a_problem_of_the_table(kind: str) -> None:
    answer = gateway_answer(kind, "")
    body = json.loads(answer["responseTemplates"]["application/json"])
    of = PROBLEMS[CODES[kind]]
    assert (body["type"], body["title"]) == (TYPE_PREFIX + CODES[kind], of.title)
    assert body["detail"]
    assert answer["statusCode"] == str(body["status"]) == str(of.status)
    headers = answer["responseParameters"]
    assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
    assert "gatewayresponse.header.Access-Control-Allow-Origin" not in headers
    retried = "gatewayresponse.header.Retry-After" in headers
    assert retried == (of.status in (429, 503, 504))


@pytest.mark.parametrize("kind", CODES)
def test_it_has_no_variables_and_no_quotes_that_end_a_value(kind: str) -> None:
    answer = gateway_answer(kind, "https://chat.example")
    assert "$" not in answer["responseTemplates"]["application/json"]
    for value in answer["responseParameters"].values():
        assert value.count("'") == 2


def test_pages_of_the_other_origin_may_read_it() -> None:
    headers = gateway_answer("MISSING_AUTHENTICATION_TOKEN", "*")["responseParameters"]
    assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
    assert "Retry-After" in headers["gatewayresponse.header.Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", ["", "*", "https://a.example", "http://127.0.0.1:3000"])
def test_an_origin_is_taken_as_it_is(origin: str) -> None:
    assert checked_origin(origin) == origin


@pytest.mark.parametrize(
    "origin", ["https://a.example/", "a.example", "https://a.example,https://b.example", "'"]
)
def test_what_no_browser_sends_as_an_origin_is_not_deployed(origin: str) -> None:
    with pytest.raises(SystemExit, match="neither"):
        checked_origin(origin)
