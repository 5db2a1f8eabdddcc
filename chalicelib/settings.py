"""The one place that reads the environment. The README's table of settings lists what is read here."""

import os
from collections.abc import Callable, Mapping
from urllib.parse import quote

import msgspec

from chalicelib.domain.errors import UnavailableError
from chalicelib.domain.limits import APPLICATION_RATE, USER_RATE

QUEUES = ("inbox", "chats", "messages", "search")
# The fields that are not a variable of their own: `ORDINAL_` and the field's name in capitals.
_NOT_READ = ("queue_urls", "dead_letter_queue_urls", "resolve_secret")


def _as_it_is(value: str) -> str:
    return value


class AwsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What Lambda sets for every function. `endpoint` is set if another server stands in for AWS."""

    region: str
    access_key: str
    secret_key: str
    token: str
    endpoint: str

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "AwsSettings":
        """Read `AWS_*`, the names that the tools of AWS use."""
        return cls(
            region=env.get("AWS_DEFAULT_REGION", ""),
            access_key=env.get("AWS_ACCESS_KEY_ID", ""),
            secret_key=env.get("AWS_SECRET_ACCESS_KEY", ""),
            token=env.get("AWS_SESSION_TOKEN", ""),
            endpoint=env.get("AWS_ENDPOINT_URL", ""),
        )


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between one stage and another.

    `lease_window` is how many numbers a lease gives (docs/design.md). `redis_keeps_writes` says that the
    store keeps every acknowledged write over a failover, so that no failover needs a new lease.
    `cors_origin` is the origin whose pages may call the API. `application_rate` and `user_rate` are the
    requests a second of an application and of a user.

    The keys, the passwords and `mysql_owner` may be the name of a secret (docs/deployment.md).
    `resolve_secret`, which the bootstrap gives, returns the secret of that name.
    """

    stage: str = "local"
    redis_url: str = ""
    mysql_url: str = ""
    opensearch_url: str = ""
    redis_password: str = ""
    mysql_password: str = ""
    mysql_owner: str = ""
    master_key: str = ""
    admin_key: str = ""
    queue_urls: dict[str, str] = {}
    dead_letter_queue_urls: dict[str, str] = {}
    lease_window: int = 1_000
    redis_keeps_writes: bool = False
    cors_origin: str = ""
    application_rate: int = APPLICATION_RATE
    user_rate: int = USER_RATE
    resolve_secret: Callable[[str], str] = _as_it_is

    @classmethod
    def from_env(
        cls, env: Mapping[str, str] = os.environ, resolve_secret: Callable[[str], str] = _as_it_is
    ) -> "Settings":
        """Read `ORDINAL_*`. A variable that is not set or empty leaves the default, so no import fails."""
        names = (field for field in cls.__struct_fields__ if field not in _NOT_READ)
        values = {field: env.get(f"ORDINAL_{field.upper()}") for field in names}
        read = msgspec.convert({k: v for k, v in values.items() if v}, cls, strict=False)
        return msgspec.structs.replace(
            read,
            queue_urls={q: env.get(f"ORDINAL_{q.upper()}_QUEUE_URL", "") for q in QUEUES},
            dead_letter_queue_urls={
                q: env.get(f"ORDINAL_{q.upper()}_DEAD_LETTER_QUEUE_URL", "") for q in QUEUES
            },
            resolve_secret=resolve_secret,
        )

    def require(self, name: str) -> str:
        """The value of a setting. Raises `UnavailableError` if it is empty."""
        value: str = getattr(self, name)
        if not value:
            raise UnavailableError(f"the setting ORDINAL_{name.upper()} is missing", 60)
        return self.resolve_secret(value)

    def url(self, store: str) -> str:
        """The URL of `"redis"` or `"mysql"`, with the password, which may be a setting of its own."""
        url = self.require(f"{store}_url")
        if not getattr(self, f"{store}_password"):
            return url
        password = quote(self.require(f"{store}_password"), safe="")
        return url.replace("@", f":{password}@", 1)
