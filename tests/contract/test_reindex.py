"""A reindex on a real MySQL and a real OpenSearch: while writes go on, cut off, from nothing."""

import threading
from collections.abc import Callable, Iterator

import pytest

from chalicelib.adapters.opensearch.index import to_action
from chalicelib.domain.errors import UnavailableError
from chalicelib.operators.scan import MessageScanner
from chatctl.failures import ChatctlError
from chatctl.reindex import LOCK, Rebuild
from tests.contract.indexed import Indexed, indexed
from tests.contract.states import deleted, message


class CutOffError(Exception):
    """What a kill is to a reindex."""


@pytest.fixture
def system() -> Iterator[Indexed]:
    with indexed() as made:
        yield made


def rebuild(
    system: Indexed,
    scanner: MessageScanner | None = None,
    progress: Callable[[int], None] = lambda copied: None,
    say: Callable[[str], None] = lambda text: None,
) -> Rebuild:
    scanner = scanner or system.scanner()
    made = Rebuild(
        scanner, system.opensearch_url, say, lambda copied, _: progress(copied), system.alias
    )
    made.run()
    scanner.close()
    return made


def cut_off_after(system: Indexed, copied: int) -> None:
    def cut(so_far: int) -> None:
        if so_far >= copied:
            raise CutOffError

    scanner = system.scanner()
    with pytest.raises(CutOffError):
        rebuild(system, scanner, cut)
    scanner.close()


def test_big_and_small_chats_come_into_the_new_index_whole(system: Indexed) -> None:
    first, second = system.application(30), system.application(1)
    for chat in range(1, 31):
        system.fill(first, chat, chat % 4)
    system.fill(first, 7, 35)
    system.fill(second, 1, 10)
    system.say(second, 1, deleted(4, 2), message(5, 3))
    [old] = system.indexes()
    system.client.indices.delete(index=old)
    assert rebuild(system).copied == len(system.stored()) > 50
    assert system.indexed() == system.stored()
    assert system.indexed()[second, 1, 4] == 2
    [new] = system.indexes()
    assert list(system.client.indices.get_alias(name=system.alias)) == [new]
    assert not system.client.indices.exists_alias(name=f"{system.alias}-filling")


def test_what_the_index_lacks_or_has_too_much_is_set_right(system: Indexed) -> None:
    token = system.application(2)
    system.fill(token, 1, 25)
    system.store_only(token, 2, message(1), message(2))
    system.say(token, 2, message(3))
    foreign = system.store_only(system.application(), 1, message(1))[0]
    gone = type(foreign)(token="gone", chat=3, message=message(9))
    system.index.index([gone])
    rebuild(system)
    assert system.indexed() == system.stored()


def test_writes_and_a_deletion_while_it_runs_are_not_lost(system: Indexed) -> None:
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
                    persistently(system, token, chat, message(number, revision))
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

    def say(text: str) -> None:
        if text.endswith("in use now"):
            assert not any(chat == 3 for _, chat, _ in system.indexed())
            before = written
            assert wait_until(lambda: written > before + 3 or errors)

    def delete_in_between(copied: int) -> None:
        progress(copied)
        if copied >= 170 and (token, 3, 1) in system.stored():
            system.delete_chat(token, 3)

    rebuild(system, progress=delete_in_between, say=say)
    ended.set()
    writer.join()
    system.store.close()
    assert not errors
    assert system.indexed() == system.stored()
    assert not any(chat == 3 for _, chat, _ in system.indexed())


def persistently(system: Indexed, token: str, chat: int, state: object) -> None:
    """As the queue does it: what is refused for now comes again."""
    documents = system.store_only(token, chat, state)  # type: ignore[arg-type]

    def indexed() -> bool:
        try:
            return system.index.index(documents) == []
        except UnavailableError:
            return False

    assert wait_until(indexed)


def wait_until(condition: Callable[[], object]) -> bool:
    """True as soon as the condition is; False after half a minute."""
    ticks = threading.Event()
    for _ in range(3_000):
        if condition():
            return True
        ticks.wait(0.01)  # the pause between two looks
    return False


def test_one_that_was_cut_off_goes_on_where_it_was(system: Indexed) -> None:
    token = system.application(3)
    for chat in (1, 2, 3):
        system.fill(token, chat, 40)
    cut_off_after(system, 70)
    old, new = system.indexes()
    system.say(token, 1, message(5, 2), message(41))
    system.delete_chat(token, 2)
    copied: list[int] = []
    rebuild(system, progress=copied.append)
    assert copied[0] == 80
    assert system.indexes() == [new] != [old]
    assert system.indexed() == system.stored()


def test_one_that_was_cut_off_after_the_swap_brings_over_what_was_on_its_way(
    system: Indexed,
) -> None:
    token = system.application(1)
    system.fill(token, 1, 20)
    [old] = system.indexes()

    def cut(text: str) -> None:
        if text.endswith("in use now"):
            raise CutOffError

    scanner = system.scanner()
    with pytest.raises(CutOffError):
        rebuild(system, scanner, say=cut)
    scanner.close()
    put_late(system, old, token)
    rebuild(system)
    assert old not in system.indexes()
    assert system.indexed() == system.stored()
    assert system.indexed()[token, 1, 1] == 7


def put_late(system: Indexed, old: str, token: str) -> None:
    """Indexed by a worker that had found the old index behind the alias just before the swap."""
    [document] = system.store_only(token, 1, message(1, 7))
    _, source = to_action(document).splitlines()
    system.client.indices.put_settings(index=old, body={"index.blocks.write": False})
    options = {"routing": token, "version": 7, "version_type": "external_gte"}
    system.client.index(index=old, id=f"{token}:1:1", body=source, params=options)


def test_one_begun_beside_an_index_that_was_lost_starts_again(system: Indexed) -> None:
    token = system.application(2)
    for chat in (1, 2):
        system.fill(token, chat, 40)
    cut_off_after(system, 30)
    old, _ = system.indexes()
    system.client.indices.delete(index=old)
    assert rebuild(system).copied == 80
    assert len(system.indexes()) == 1
    assert system.indexed() == system.stored()


def test_two_at_once_are_refused(system: Indexed) -> None:
    other = system.scanner()
    assert other.take_lock(LOCK)
    with pytest.raises(ChatctlError, match="another reindex is running"):
        rebuild(system)
    other.close()
    assert wait_until(lambda: free(system))
    rebuild(system)


def free(system: Indexed) -> bool:
    scanner = system.scanner()
    taken = scanner.take_lock(LOCK)
    scanner.close()
    return taken


def test_a_lock_that_was_lost_with_its_connection_is_noticed(system: Indexed) -> None:
    scanner = system.scanner()
    assert scanner.take_lock(LOCK)
    scanner.check_lock(LOCK)
    scanner.close()
    with pytest.raises(UnavailableError, match="the lock reindex is lost"):
        scanner.check_lock(LOCK)
