"""Rules for the compose file. They read the file, because not every machine can run it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "docker-compose.localstack.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]


def test_the_services_are_the_stores_localstack_and_the_deployment() -> None:
    assert set(SERVICES) == {"redis", "mysql", "opensearch", "localstack", "deploy"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_published_port_is_bound_to_the_loopback_address(service: str) -> None:
    for port in SERVICES[service].get("ports", []):
        assert str(port).startswith("127.0.0.1:"), port


@pytest.mark.parametrize("service", SERVICES)
def test_no_service_uses_the_network_of_the_host(service: str) -> None:
    assert "network_mode" not in SERVICES[service]
    assert not SERVICES[service].get("privileged")


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"deploy"}))
def test_every_service_has_a_health_check(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"]


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"deploy"}))
def test_the_deployment_waits_until_each_service_is_healthy(service: str) -> None:
    assert SERVICES["deploy"]["depends_on"][service] == {"condition": "service_healthy"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_is_pinned_to_a_version(service: str) -> None:
    _, _, version = SERVICES[service]["image"].partition(":")
    assert version.count(".") >= 1, SERVICES[service]["image"]
    assert version[0].isdigit()


def test_localstack_is_the_last_version_that_works_without_an_account() -> None:
    assert SERVICES["localstack"]["image"] == "localstack/localstack:4.14.0"


def test_the_functions_containers_join_the_network_of_the_stores() -> None:
    file = yaml.safe_load(FILE.read_text())
    network = SERVICES["localstack"]["environment"]["LAMBDA_DOCKER_NETWORK"]
    assert file["networks"]["ordinal"]["name"] == network
    assert all(service["networks"] == ["ordinal"] for service in SERVICES.values())


def test_the_deployment_has_all_required_settings() -> None:
    assert set(SERVICES["deploy"]["environment"]) >= {
        "ORDINAL_REDIS_URL",
        "ORDINAL_MYSQL_URL",
        "ORDINAL_OPENSEARCH_URL",
        "ORDINAL_MASTER_KEY",
        "ORDINAL_ADMIN_KEY",
        "AWS_ENDPOINT_URL",
    }
