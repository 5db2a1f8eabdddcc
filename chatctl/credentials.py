"""Which application an import goes into: the one that is named, or one of its own."""

from collections.abc import Callable
from pathlib import Path

import click
from ordinal_client import Client, NotFoundError, UnauthenticatedError

from chatctl.remembered import Credential, remember, remembered
from chatctl.retry_budget import RetryBudget

OpenClient = Callable[[Credential], Client]


def client_opener(base_url: str, budget: RetryBudget) -> OpenClient:
    """Return what opens a client for a credential. Raises `click.UsageError` if the URL is none."""
    if not base_url.startswith(("http://", "https://")):
        raise click.UsageError(f"the base URL {base_url!r} must begin with http:// or https://")
    return lambda credential: Client(base_url, credential.key, credential.token, retries=budget)


def own_application(
    open_client: OpenClient, base_url: str, admin_key: Callable[[], str], name: str, file: Path
) -> tuple[Credential, bool]:
    """The application of this name that chatctl made, or makes now; and whether it was made now."""
    for credential in remembered(file, base_url, name):
        if _is_there(open_client, credential):
            remember(file, base_url, name, credential)
            return credential, False
    with open_client(Credential("", admin_key())) as client:
        made = client.create_application(name)
    credential = Credential(made.token, made.secret_key)
    remember(file, base_url, name, credential)
    return credential, True


def _is_there(open_client: OpenClient, credential: Credential) -> bool:
    """False where the service does not know it: its data was thrown away, or it was deleted."""
    with open_client(credential) as client:
        try:
            client.get_application()
        except (UnauthenticatedError, NotFoundError):
            return False
    return True
