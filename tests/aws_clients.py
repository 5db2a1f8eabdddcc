"""boto3 clients for LocalStack, or for a server that speaks like it. None of them reaches AWS."""

from typing import Any
from urllib.parse import urlsplit

from localstack_client.session import Session


def local_client(url: str, service: str, **options: Any) -> Any:
    """boto3's client of a service behind this URL."""
    session = Session("test", "test", localstack_host=urlsplit(url).netloc)
    return session.client(service, **options)
