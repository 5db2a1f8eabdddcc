"""How a ceiling follows the records that were numbered under it. No I/O: the caller holds the row.

A raise here is why no request waits for MySQL in steady state: PERSIST raises the ceiling, in the
transaction that it runs anyway, before the memory that holds the lease has come to its end.
"""

from collections.abc import Collection, Iterable

from chalicelib.adapters.mysql.rows import LockedApplication
from chalicelib.domain.records import Lease


def beginning(application: LockedApplication, number: int, lease: Lease) -> tuple[Lease, int]:
    """The lease of a chat that has no row yet, by its record, and the last position of its changes.

    Where a restore may have lost the row (`lift.py`), more was given than the record knows.
    """
    if number > application.lost_chats:
        return lease, 0
    epoch, ceiling = lease.epoch + application.lost_epochs, lease.ceiling + application.lost_numbers
    return Lease("", epoch, ceiling), application.lost_numbers


def newest(leases: Iterable[Lease]) -> Lease | None:
    """The latest of some leases of one counter."""
    return max(leases, key=lambda lease: (lease.epoch, lease.ceiling), default=None)


def carried(held: Lease, leases: Iterable[Lease]) -> int:
    """The ceiling takes the highest that a record carries; it never falls.

    Not that of an earlier lease, which is below the one that began after it; and not that of a lease
    that was given back (it has no holder any more), whose late records would take back what was given.
    """
    since = held.epoch if held.holder else held.epoch + 1
    return max([held.ceiling, *(lease.ceiling for lease in leases if lease.epoch >= since)])


def raised(lease: Lease, leases: Collection[Lease], last: int, window: int) -> Lease | None:
    """The lease now in force, a window above `last`, where less than half a window is left of it.

    Only where one of the records was numbered under it: another memory may have begun since.
    """
    ours = any((one.holder, one.epoch) == (lease.holder, lease.epoch) for one in leases)
    if not ours or 2 * (lease.ceiling - last) >= window:
        return None
    return Lease(lease.holder, lease.epoch, last + window)
