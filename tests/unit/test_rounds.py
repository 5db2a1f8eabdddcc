"""A round visits all applications in turn, and the next run continues where one stopped."""

from collections.abc import Callable

import pytest

from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.models import AppToken, RoundState
from chalicelib.domain.times import Deadline
from chalicelib.usecases import rounds
from chalicelib.usecases.maintenance import measure_backlog
from chalicelib.usecases.rounds import Round
from tests.fakes.ports import FakePorts, far_deadline

TOKENS = [AppToken(f"{n:030x}") for n in range(1, 6)]


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> FakePorts:
    """Five applications, listed two at a time."""
    monkeypatch.setattr(rounds, "_TOKENS_PER_PAGE", 2)
    ports = FakePorts()
    for token in TOKENS:
        ports.store.applications.create_application(token, "x", "2026-01-01T00:00:00.000Z")
    return ports


def until(is_over: Callable[[], bool]) -> Deadline:
    """A deadline that is over as soon as the condition is true."""
    return Deadline(lambda: 0 if is_over() else 60_000)


def visit(ports: FakePorts, most: int) -> list[AppToken]:
    """The applications that a run visits which has time for so many of them."""
    visited: list[AppToken] = []

    def take_turn(token: AppToken) -> bool:
        visited.append(token)
        return False

    round_ = Round(ports, "a task", until(lambda: len(visited) >= most))
    round_.take_turns(take_turn)
    round_.save()
    return visited


def test_a_run_with_time_visits_every_application_once(ports: FakePorts) -> None:
    assert visit(ports, 100) == TOKENS
    assert ports.store.rounds.get_round("a task") == RoundState()


def test_the_next_run_continues_where_the_last_one_stopped(ports: FakePorts) -> None:
    assert visit(ports, 3) == TOKENS[:3]
    assert visit(ports, 100) == [*TOKENS[3:], *TOKENS[:3]]
    assert visit(ports, 1) == [TOKENS[3]]


def test_a_purged_application_does_not_end_the_round(ports: FakePorts) -> None:
    assert visit(ports, 3) == TOKENS[:3]
    ports.store.applications.delete_application(TOKENS[2], "2026-01-01T00:00:00.000Z")
    ports.store.purge.remove_rows(TOKENS[2], "2026-01-02T00:00:00.000Z", 1)
    assert visit(ports, 2) == TOKENS[3:]


def test_a_run_that_is_killed_has_stored_how_far_it_came(ports: FakePorts) -> None:
    class KilledError(BaseException):
        pass

    def take_turn(token: AppToken) -> bool:
        ports.clock.wait(6)
        if token == TOKENS[3]:
            raise KilledError
        return False

    with pytest.raises(KilledError):
        Round(ports, "a task", far_deadline()).take_turns(take_turn)
    assert visit(ports, 1) == [TOKENS[3]]


def test_more_work_waits_until_every_application_had_a_turn(ports: FakePorts) -> None:
    turns: list[AppToken] = []

    def take_turn(token: AppToken) -> bool:
        turns.append(token)
        return token == TOKENS[0] and turns.count(token) < 3

    Round(ports, "a task", far_deadline()).take_turns(take_turn)
    assert turns == [*TOKENS, TOKENS[0], TOKENS[0]]


def test_an_error_in_one_application_ends_nothing_else(ports: FakePorts) -> None:
    visited: list[AppToken] = []

    def take_turn(token: AppToken) -> bool:
        visited.append(token)
        if token == TOKENS[1]:
            raise UnavailableError("its chat is broken")
        return False

    round_ = Round(ports, "a task", far_deadline())
    round_.take_turns(take_turn)
    assert visited == TOKENS
    assert list(map(str, round_.errors)) == ["its chat is broken"]


def test_a_node_that_is_away_hides_only_its_own_applications(
    ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_node(tokens: list[AppToken]) -> dict[str, list[AppToken]]:
        return {"a": tokens[:1], "b": tokens[1:]}

    def find(tokens: list[AppToken]) -> list[AppToken]:
        if TOKENS[2] in tokens:
            raise UnavailableError("this node is away")
        return tokens

    visited: list[AppToken] = []
    monkeypatch.setattr(ports.sequencer, "by_node", by_node)
    round_ = Round(ports, "a task", far_deadline())
    round_.take_turns(lambda token: visited.append(token) is not None, find)
    assert visited == [token for token in TOKENS if token != TOKENS[2]]
    assert len(round_.errors) == 1


def test_the_oldest_pending_version_counts_until_the_round_comes_back_to_it(
    ports: FakePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may not reach all applications. The age must not fall in between."""
    accepted_at_ms = ports.clock.now_ms()
    looked_at: list[AppToken] = []

    def oldest_pending(tokens: list[AppToken]) -> int | None:
        looked_at.extend(tokens)
        return accepted_at_ms if TOKENS[0] in tokens and not is_stored else None

    def age_after(pages: int) -> float:
        ports.clock.wait(60)
        looked_at.clear()
        measure_backlog(ports, until(lambda: len(looked_at) >= 2 * pages))
        return ports.metrics.measured["OldestPendingAge"]

    is_stored = False
    monkeypatch.setattr(ports.sequencer, "oldest_pending", oldest_pending)
    ages = [age_after(pages=1) for _ in range(4)]
    assert ages == [60_000, 120_000, 180_000, 240_000]
    is_stored = True
    for _ in range(6):
        last = age_after(pages=1)
    assert last == 0
    assert age_after(pages=3) == 0
