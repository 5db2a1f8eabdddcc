"""Which application an import goes into: the one that is named, or one of its own."""

from collections.abc import Callable
from pathlib import Path

import click

from chatctl.api import Api
from chatctl.failures import RefusedError
from chatctl.patience import Patience
from chatctl.remembered import Credential, remember, remembered

OpenApi = Callable[[Credential], Api]
_NOT_THIS_ONE = (401, 404)


def api_opener(base_url: str, patience: Patience) -> OpenApi:
    """What makes an `Api` of a credential. Raises `click.UsageError` where the URL is none."""
    if not base_url.startswith(("http://", "https://")):
        raise click.UsageError(f"the base URL {base_url!r} must begin with http:// or https://")
    return lambda credential: Api(base_url, credential, patience)


def own_application(
    open_api: OpenApi, base_url: str, admin_key: Callable[[], str], name: str, file: Path
) -> tuple[Credential, bool]:
    """The application of this name that chatctl made, or makes now; and whether it was made now."""
    for credential in remembered(file, base_url, name):
        if _is_there(open_api, credential):
            remember(file, base_url, name, credential)
            return credential, False
    with open_api(Credential("", admin_key())) as api:
        made = api.create_application(name)
    credential = Credential(made.token, made.secret_key)
    remember(file, base_url, name, credential)
    return credential, True


def _is_there(open_api: OpenApi, credential: Credential) -> bool:
    """False where the service does not know it: its data was thrown away, or it was deleted."""
    with open_api(credential) as api:
        try:
            api.get_application()
        except RefusedError as error:
            if error.status in _NOT_THIS_ONE:
                return False
            raise
    return True
