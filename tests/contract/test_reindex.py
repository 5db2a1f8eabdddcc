"""A reindex on a real MySQL and a real OpenSearch: during writes, interrupted, and without an index."""

import threading
from collections.abc import Callable, Iterator

import pytest

from chalicelib.adapters.opensearch.index import to_action
from chalicelib.domain.errors import UnavailableError
from chalicelib.operators.errors import ReindexRunningError
from chalicelib.operators.reindex import LOCK, ReindexJob
from chalicelib.operators.scan import MessageScanner
from tests.contract.factories import deleted, message
from tests.contract.indexed import Indexed, indexed


class KilledError(Exception):
    """Ends a reindex at a point at which a kill could end it."""


@pytest.fixture
def system() -> Iterator[Indexed]:
    with indexed() as made:
        yield made


def run_reindex(
    system: Indexed,
    scanner: MessageScanner | None = None,
    progress: Callable[[int], None] = lambda copied: None,
    log: Callable[[str], None] = lambda text: None,
) -> ReindexJob:
    scanner = scanner or system.scanner()
    job = ReindexJob(
        scanner, system.opensearch_url, log, lambda copied, _: progress(copied), system.alias
    )
    job.run()
    scanner.close()
    return job


def kill_after(system: Indexed, copied: int) -> None:
    def kill(so_far: int) -> None:
        if so_far >= copied:
            raise KilledError

    scanner = system.scanner()
    with pytest.raises(KilledError):
        run_reindex(system, scanner, kill)
    scanner.close()


def test_all_messages_of_big_and_small_chats_are_in_the_new_index(system: Indexed) -> None:
    first, second = system.application(30), system.application(1)
    for chat in range(1, 31):
        system.fill(first, chat, chat % 4)
    system.fill(first, 7, 35)
    system.fill(second, 1, 10)
    system.store_and_index(second, 1, deleted(4, 2), message(5, 3))
    [old] = system.indexes()
    system.client.indices.delete(index=old)
    assert run_reindex(system).copied == len(system.stored()) > 50
    assert system.indexed() == system.stored()
    assert system.indexed()[second, 1, 4] == 2
    [new] = system.indexes()
    assert list(system.client.indices.get_alias(name=system.alias)) == [new]
    assert not system.client.indices.exists_alias(name=f"{system.alias}-filling")


def test_missing_and_unknown_documents_are_corrected(system: Indexed) -> None:
    token = system.application(2)
    system.fill(token, 1, 25)
    system.store_only(token, 2, message(1), message(2))
    system.store_and_index(token, 2, message(3))
    foreign = system.store_only(system.application(), 1, message(1))[0]
    gone = type(foreign)(token="gone", chat=3, message=message(9))
    system.index.index([gone])
    run_reindex(system)
    assert system.indexed() == system.stored()


def test_writes_and_a_deletion_during_a_reindex_are_not_lost(system: Indexed) -> None:
    token = system.application(4)
    for chat in (1, 2, 3):
        system.fill(token, chat, 60)
    ended = threading.Event()
    errors: list[BaseException] = []
    written = 0

    def write() -> None:
        nonlocal written
        revision = 1
        try:
            while not ended.is_set():
                revision += 1
                for chat, number in ((1, revision % 60 + 1), (2, 60 + revision), (4, revision)):
                    index_with_retries(system, token, chat, message(number, revision))
                    written += 1
        except BaseException as error:
            errors.append(error)

    writer = threading.Thread(target=write)

    def progress(copied: int) -> None:
        if copied >= 100 and not writer.is_alive():
            writer.start()
        if 100 <= copied < 130:
            before = written
            assert wait_until(lambda: written > before or errors)

    def log(text: str) -> None:
        if text.endswith("in use now"):
            assert not any(chat == 3 for _, chat, _ in system.indexed())
            before = written
            assert wait_until(lambda: written > before + 3 or errors)

    def delete_in_between(copied: int) -> None:
        progress(copied)
        if copied >= 170 and (token, 3, 1) in system.stored():
            system.delete_chat(token, 3)

    run_reindex(system, progress=delete_in_between, log=log)
    ended.set()
    writer.join()
    system.store.close()
    assert not errors
    assert system.indexed() == system.stored()
    assert not any(chat == 3 for _, chat, _ in system.indexed())


def index_with_retries(system: Indexed, token: str, chat: int, version: object) -> None:
    """Retry a refused write, as the queue does."""
    documents = system.store_only(token, chat, version)  # type: ignore[arg-type]

    def indexed() -> bool:
        try:
            return system.index.index(documents) == []
        except UnavailableError:
            return False

    assert wait_until(indexed)


def wait_until(condition: Callable[[], object]) -> bool:
    """True as soon as the condition is true. False after half a minute."""
    ticks = threading.Event()
    for _ in range(3_000):
        if condition():
            return True
        ticks.wait(0.01)  # the pause between two attempts
    return False


def test_a_killed_reindex_continues(system: Indexed) -> None:
    token = system.application(3)
    for chat in (1, 2, 3):
        system.fill(token, chat, 40)
    kill_after(system, 70)
    old, new = system.indexes()
    system.store_and_index(token, 1, message(5, 2), message(41))
    system.delete_chat(token, 2)
    copied: list[int] = []
    run_reindex(system, progress=copied.append)
    assert copied[0] == 80
    assert system.indexes() == [new] != [old]
    assert system.indexed() == system.stored()


def test_a_reindex_that_was_killed_after_the_swap_copies_late_writes_of_the_old_index(
    system: Indexed,
) -> None:
    token = system.application(1)
    system.fill(token, 1, 20)
    [old] = system.indexes()

    def kill(text: str) -> None:
        if text.endswith("in use now"):
            raise KilledError

    scanner = system.scanner()
    with pytest.raises(KilledError):
        run_reindex(system, scanner, log=kill)
    scanner.close()
    index_late(system, old, token)
    run_reindex(system)
    assert old not in system.indexes()
    assert system.indexed() == system.stored()
    assert system.indexed()[token, 1, 1] == 7


def index_late(system: Indexed, old: str, token: str) -> None:
    """Index as a worker does that read the alias just before the swap."""
    [document] = system.store_only(token, 1, message(1, 7))
    _, source = to_action(document).splitlines()
    system.client.indices.put_settings(index=old, body={"index.blocks.write": False})
    options = {"routing": token, "version": 7, "version_type": "external_gte"}
    system.client.index(index=old, id=f"{token}:1:1", body=source, params=options)


def test_a_reindex_whose_old_index_was_lost_starts_again(system: Indexed) -> None:
    token = system.application(2)
    for chat in (1, 2):
        system.fill(token, chat, 40)
    kill_after(system, 30)
    old, _ = system.indexes()
    system.client.indices.delete(index=old)
    assert run_reindex(system).copied == 80
    assert len(system.indexes()) == 1
    assert system.indexed() == system.stored()


def test_a_second_reindex_at_the_same_time_is_refused(system: Indexed) -> None:
    other = system.scanner()
    assert other.take_lock(LOCK)
    with pytest.raises(ReindexRunningError, match="another reindex is running"):
        run_reindex(system)
    other.close()
    assert wait_until(lambda: lock_is_free(system))
    run_reindex(system)


def lock_is_free(system: Indexed) -> bool:
    scanner = system.scanner()
    is_free = scanner.take_lock(LOCK)
    scanner.close()
    return is_free


def test_a_lock_that_was_lost_with_its_connection_is_an_error(system: Indexed) -> None:
    scanner = system.scanner()
    assert scanner.take_lock(LOCK)
    scanner.check_lock(LOCK)
    scanner.close()
    with pytest.raises(UnavailableError, match="the lock reindex is lost"):
        scanner.check_lock(LOCK)
