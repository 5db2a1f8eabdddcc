"""What the functions are told, and where they are: from the stacks, and from what is given."""

from __future__ import annotations

from collections.abc import Mapping

from infra.deploy.aws import aws_client
from infra.deploy.queues import queue_urls, queue_variables
from infra.deploy.settings import DeploySettings
from infra.deploy.staging import Place

# The names of secrets, not what is in them: the functions read those when they need them.
FROM_STACKS = {
    "ORDINAL_REDIS_URL": "RedisUrl",
    "ORDINAL_REDIS_PASSWORD": "RedisPasswordArn",
    "ORDINAL_MYSQL_URL": "MysqlUrl",
    "ORDINAL_MYSQL_PASSWORD": "MysqlPasswordArn",
    "ORDINAL_MYSQL_OWNER": "MysqlOwnerArn",
    "ORDINAL_OPENSEARCH_URL": "OpensearchUrl",
    "ORDINAL_MASTER_KEY": "MasterKeyArn",
    "ORDINAL_ADMIN_KEY": "AdminKeyArn",
}


def environment(settings: DeploySettings, known: Mapping[str, str]) -> dict[str, str]:
    """The functions' environment."""
    stores = {name: known[output] for name, output in FROM_STACKS.items() if output in known}
    return {
        "ORDINAL_STAGE": settings.stage,
        "ORDINAL_CORS_ORIGIN": settings.cors_origin,
        **settings.given,
        **stores,
        **queue_variables(queue_urls(known)),
    }


def place_of(settings: DeploySettings, known: Mapping[str, str]) -> Place:
    """Partition, region, account and network."""
    caller = aws_client(settings, "sts").get_caller_identity()
    return Place(
        partition=caller["Arn"].split(":")[1],
        region=settings.region,
        account=caller["Account"],
        subnet_ids=[subnet for subnet in known.get("SubnetIds", "").split(",") if subnet],
        security_group_ids=[known["FunctionsGroupId"]] if "FunctionsGroupId" in known else [],
    )
