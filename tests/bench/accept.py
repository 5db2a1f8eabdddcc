"""Accepting a message: from the event of API Gateway to the response, and the script alone."""

import secrets
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import msgspec
import redis
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from chalice import Chalice

from chalicelib.adapters.redis.sequencer import FIXED_HOLDER, RedisSequencer
from chalicelib.adapters.runtime import SystemClock
from chalicelib.domain.auth import Tenant
from chalicelib.domain.leases import Accepted, Counter
from chalicelib.domain.models import (
    AppToken,
    ChatNumber,
    Message,
    MessageNumber,
    Revision,
    Timestamp,
)
from chalicelib.domain.rate_limits import bucket
from infra.local.paths import REGION
from tests.bench.api import CONTEXT, MESSAGES, Api, event
from tests.bench.harness import Harness
from tests.bench.measure import by_turns, compared, many, plain
from tests.bench.rows import Row
from tests.contract.factories import application, cache_application, hold_first_lease

ROUNDS, CALLS, SCRIPTS = 25, 100, 500
PENDING = 1_000_000
BATCH = 100
BODY = "has anyone here got the new kernel to boot on a laptop with two graphics cards?"
MESSAGE = {"body": BODY, "sender": "ann"}
DRAFT = Message(
    number=MessageNumber(0),
    revision=Revision(0),
    body=BODY,
    sender="ann",
    created_at=Timestamp("2026-09-21T14:13:20.000Z"),
)
INCR = "return redis.call('INCR', KEYS[1])"


def accept_one(harness: Harness) -> Iterator[Row]:
    api, floor = Api(harness), _floor(harness)
    posts = chats_of(api, CALLS * 4)

    def post() -> None:
        api.send(api.post(MESSAGES, MESSAGE, next(posts)))

    ours, floors = by_turns([many(post, CALLS), many(floor, CALLS)], ROUNDS)
    for kind in ("cpu", "wall"):
        values = [getattr(took, kind) / CALLS * 1e6 for took in ours]
        lowest = [getattr(took, kind) / CALLS * 1e6 for took in floors]
        yield compared(f"accept_one, {kind}", "µs", values, lowest, most=1.5)


def accept_batch(harness: Harness) -> Iterator[Row]:
    api = Api(harness)
    singles, batches = chats_of(api, CALLS * 4), chats_of(api, CALLS)
    batch = {"messages": [MESSAGE] * BATCH}

    def post() -> None:
        api.send(api.post(MESSAGES, MESSAGE, next(singles)))

    def post_batch() -> None:
        api.send(api.post(MESSAGES + "/batch", batch, next(batches)))

    calls = 10
    ours, floors = by_turns([many(post_batch, calls), many(post, CALLS)], ROUNDS)
    values = [took.cpu / calls / BATCH * 1e6 for took in ours]
    single = [took.cpu / CALLS * 1e6 for took in floors]
    yield compared("accept_batch, CPU a message", "µs", values, single, most=1 / 30)
    yield plain("accept_batch, CPU a message, at most 50 µs", "µs", values, most=50)


def accept_script(harness: Harness) -> Iterator[Row]:
    """The time that the server reports for the script, as on AWS and with a Redis that is not durable."""
    client = redis.Redis.from_url(harness.redis_url)
    incr = client.script_load(INCR)
    for name, holder in (("", FIXED_HOLDER), (", incarnation named", "")):
        accept = _accepting(harness, holder)
        values, floors = [], []
        for _ in range(ROUNDS):
            values.append(_server_us(client, many(accept, SCRIPTS)))
            floors.append(
                _server_us(client, many(lambda: client.evalsha(incr, 1, "floor"), SCRIPTS))
            )
        yield compared(f"accept_script{name}", "µs", values, floors, most=4)
        yield plain(
            f"accept_script{name}, a second", "1/s", [1e6 / v for v in values], least=20_000
        )


def _accepting(harness: Harness, holder: str) -> Callable[[], None]:
    """The sequencer's `accept`, for one message in a new chat."""
    sequencer = RedisSequencer(harness.redis_url, SystemClock(), PENDING, holder, PENDING, PENDING)
    counter = Counter(AppToken(secrets.token_hex(15)), ChatNumber(1))
    cache_application(sequencer, application(counter.token))
    hold_first_lease(sequencer, counter, PENDING)

    tenant = Tenant(counter.token, 1, (bucket(PENDING),))

    def accept() -> None:
        assert isinstance(sequencer.accept(tenant, counter, [DRAFT]), Accepted)

    return accept


def _server_us(client: "redis.Redis", work: Callable[[], object]) -> float:
    """The microseconds of one script, as the server reports them."""
    client.config_resetstat()
    work()
    info: Any = client.info("commandstats")
    return float(info["cmdstat_evalsha"]["usec_per_call"])


def chats_of(api: Api, messages: int) -> Iterator[int]:
    """Chat numbers, each so many times, because the pending messages of a chat are limited."""
    for _ in count():
        chat = api.new_chat()
        for _ in range(messages):
            yield chat


def _floor(harness: Harness) -> Callable[[], None]:
    """The least code for an empty route, a round trip of a script, and a signed SendMessage."""
    client = redis.Redis.from_url(harness.redis_url)
    incr = client.script_load(INCR)
    url = harness.queue_urls["search"]
    host = urlsplit(url).netloc
    connection = HTTPConnection(host)
    signer = SigV4Auth(Credentials("test", "test"), "sqs", REGION)
    record = msgspec.json.encode({"body": BODY}).decode()
    app = Chalice(app_name="floor")

    @app.route("/floor", methods=["POST"])
    def floor() -> dict[str, Any]:
        client.evalsha(incr, 1, "floor")
        body = msgspec.json.encode({"QueueUrl": url, "MessageBody": record})
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "AmazonSQS.SendMessage",
        }
        request = AWSRequest("POST", f"http://{host}/", headers, body)
        signer.add_auth(request)
        connection.request("POST", "/", body, dict(request.headers))
        response = connection.getresponse()
        response.read()
        assert response.status == 200
        return {}

    request_event = event("POST", "/floor", body=MESSAGE)

    def send() -> None:
        assert app(request_event, CONTEXT)["statusCode"] == 200

    return send
