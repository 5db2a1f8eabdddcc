"""The responses that API Gateway makes itself are problems of the table."""

import json

import botocore.session
import pytest

from chalicelib.entrypoints.http.problems import PROBLEMS, TYPE_PREFIX
from infra.deploy.gateway_responses import CODES, gateway_response
from infra.deploy.settings import checked_origin


def test_every_type_of_gateway_response_is_set() -> None:
    model = botocore.session.get_session().get_service_model("apigateway")
    assert set(CODES) == set(model.shape_for("GatewayResponseType").enum)


@pytest.mark.parametrize("response_type", CODES)
def test_a_gateway_response_is_a_problem_of_the_table(response_type: str) -> None:
    response = gateway_response(response_type, "")
    body = json.loads(response["responseTemplates"]["application/json"])
    kind = PROBLEMS[CODES[response_type]]
    assert (body["type"], body["title"]) == (TYPE_PREFIX + CODES[response_type], kind.title)
    assert body["detail"]
    assert response["statusCode"] == str(body["status"]) == str(kind.status)
    headers = response["responseParameters"]
    assert headers["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
    assert "gatewayresponse.header.Access-Control-Allow-Origin" not in headers
    retryable = "gatewayresponse.header.Retry-After" in headers
    assert retryable == (kind.status in (429, 503, 504))


@pytest.mark.parametrize("response_type", CODES)
def test_a_gateway_response_has_no_variable_and_no_quote_inside_of_a_value(
    response_type: str,
) -> None:
    response = gateway_response(response_type, "https://chat.example")
    assert "$" not in response["responseTemplates"]["application/json"]
    for value in response["responseParameters"].values():
        assert value.count("'") == 2


def test_pages_of_an_allowed_origin_can_read_a_gateway_response() -> None:
    headers = gateway_response("MISSING_AUTHENTICATION_TOKEN", "*")["responseParameters"]
    assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"
    assert "Retry-After" in headers["gatewayresponse.header.Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", ["", "*", "https://a.example", "http://127.0.0.1:3000"])
def test_an_origin_that_a_browser_can_send_is_accepted(origin: str) -> None:
    assert checked_origin(origin) == origin


@pytest.mark.parametrize(
    "origin", ["https://a.example/", "a.example", "https://a.example,https://b.example", "'"]
)
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(SystemExit, match="neither"):
        checked_origin(origin)
