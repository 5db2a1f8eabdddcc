"""How long a refusal takes, so that its time does not show whether an application exists."""

import time
from collections.abc import Callable, Iterator

from tests.bench.accept import CALLS, MESSAGE, ROUNDS
from tests.bench.api import MESSAGES, ONE_CHAT, Api, event
from tests.bench.harness import Harness
from tests.bench.measure import by_turns, compared, many
from tests.bench.rows import Row

ROUTE = ONE_CHAT + "/messages/{number}"
KINDS = ("other application's key", "other application's user")


def refusal(harness: Harness) -> Iterator[Row]:
    """A foreign credential at an application that exists. The floor uses a token that does not exist."""
    from tests.isolation.foreign_credentials import UNKNOWN_TOKEN, TenantKey, foreign_credentials

    victim, other = Api(harness), Api(harness)
    chat = victim.new_chat()
    victim.send(victim.post(MESSAGES, MESSAGE, chat))
    credentials = foreign_credentials(
        TenantKey(victim.token, victim.key),
        TenantKey(other.token, other.key),
        harness.environment["ORDINAL_ADMIN_KEY"],
        time.time(),
    )
    for kind in KINDS:
        credential = credentials[kind].credential
        works = [
            many(_read(other, token, chat, credential), CALLS)
            for token in (victim.token, UNKNOWN_TOKEN)
        ]
        existing, unknown = (
            [took.wall / CALLS * 1e6 for took in rounds] for rounds in by_turns(works, ROUNDS)
        )
        yield compared(f"refusal, {kind}", "µs", existing, unknown)


def _read(api: Api, token: str, chat: int, credential: str) -> Callable[[], None]:
    params = {"token": token, "chat": str(chat), "number": "1"}
    request = event("GET", ROUTE, params, credential)

    def read() -> None:
        api.send_refused(request)

    return read
