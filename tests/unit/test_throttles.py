"""API Gateway throttles exactly the operations that need no credential."""

from app import app
from chalicelib.entrypoints.http.endpoint import OPERATIONS
from infra.deploy.throttles import OPEN_BURST, OPEN_PATHS, OPEN_RATE, throttles


def test_each_operation_without_a_credential_has_a_throttle() -> None:
    assert app.routes
    open_operations = {(o.method, o.path) for o in OPERATIONS if o.access == "open"}
    assert open_operations == {("GET", path) for path in OPEN_PATHS}


def test_the_settings_name_the_resource_as_api_gateway_does() -> None:
    operations = {operation["path"]: operation["value"] for operation in throttles()}
    assert operations["/~1health~1ready/GET/throttling/rateLimit"] == str(OPEN_RATE)
    assert operations["/~1health~1ready/GET/throttling/burstLimit"] == str(OPEN_BURST)
    assert len(operations) == 2 * len(OPEN_PATHS)
