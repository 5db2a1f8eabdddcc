"""Connections to the stores of AWS: verified servers, and signed requests."""

import ssl
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import redis
from opensearchpy import Urllib3AWSV4SignerAuth

from chalicelib.adapters.mysql import database as mysql
from chalicelib.adapters.mysql.migrate import owner_url
from chalicelib.adapters.opensearch.index import Connection
from chalicelib.adapters.redis.connection import connect

DOMAIN = "https://vpc-ordinal-prod-abc.eu-west-1.es.amazonaws.com"


def test_requests_to_a_domain_of_aws_are_signed_with_the_functions_role(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "test")
    [node] = Connection(DOMAIN).client.transport.connection_pool.connections
    signed = node.http_auth("POST", f"{DOMAIN}/messages/_search", b"{}")
    assert "/eu-west-1/es/aws4_request" in signed["Authorization"]
    assert signed["X-Amz-Security-Token"] == "test"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9200", "https://user:word@search.example"])
def test_requests_to_other_servers_are_not_signed(url: str) -> None:
    [node] = Connection(url).client.transport.connection_pool.connections
    assert not isinstance(node.http_auth, Urllib3AWSV4SignerAuth)


def test_the_certificate_of_valkey_must_be_trusted_by_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Any] = []

    def note(self: redis.SSLConnection) -> None:
        tried.append(self)
        raise redis.ConnectionError

    monkeypatch.setattr(redis.SSLConnection, "connect", note)
    with pytest.raises(redis.ConnectionError):
        connect("rediss://ordinal:word@redis.example:6379/0")
    [made] = tried
    assert made.cert_reqs == ssl.CERT_REQUIRED
    assert made.check_hostname is True


def test_the_certificate_of_mysql_must_be_from_rds_and_match_the_host() -> None:
    options = mysql._options("mysql://ordinal:word@mysql.example/ordinal?ssl_ca=rds", 4)
    assert options["ssl_verify_identity"] is True
    assert options["ssl_ca"] == str(mysql.RDS_AUTHORITIES)


def test_the_authorities_of_rds_stay_valid_for_years() -> None:
    context = ssl.create_default_context(cafile=str(mysql.RDS_AUTHORITIES))
    known: list[Any] = context.get_ca_certs()
    assert len(known) == 27
    for certificate in known:
        ends = datetime.strptime(certificate["notAfter"], "%b %d %H:%M:%S %Y %Z").replace(
            tzinfo=UTC
        )
        assert ends.year > 2050


def test_the_owner_of_the_database_comes_from_the_secret_of_rds() -> None:
    secret = msgspec.json.encode({"username": "owner", "password": "a:b/c@d"}).decode()
    url = owner_url("mysql://ordinal:word@mysql.example:3306/ordinal?ssl_ca=rds", secret)
    parts = urlsplit(url)
    assert (parts.username, parts.hostname, parts.query) == ("owner", "mysql.example", "ssl_ca=rds")
    assert mysql.credentials(url) == ("owner", "a:b/c@d", "ordinal")
