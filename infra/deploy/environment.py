"""The environment of the functions and the place that they are deployed to."""

from collections.abc import Mapping

from infra.deploy.aws import aws_client
from infra.deploy.queues import queue_urls, queue_variables
from infra.deploy.settings import DeploySettings
from infra.deploy.staging import DeployTarget

# For secrets, the environment holds only their ARNs. The functions read them when they need them.
FROM_STACKS = {
    "ORDINAL_REDIS_URL": "RedisUrl",
    "ORDINAL_REDIS_PASSWORD": "RedisPasswordSecretArn",
    "ORDINAL_MYSQL_URL": "MysqlUrl",
    "ORDINAL_MYSQL_PASSWORD": "MysqlPasswordSecretArn",
    "ORDINAL_MYSQL_OWNER": "MysqlOwnerSecretArn",
    "ORDINAL_OPENSEARCH_URL": "OpensearchUrl",
    "ORDINAL_MASTER_KEY": "MasterKeySecretArn",
    "ORDINAL_ADMIN_KEY": "AdminKeySecretArn",
}


def function_environment(settings: DeploySettings, outputs: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of the functions, from the settings and the outputs of the stacks."""
    stores = {name: outputs[output] for name, output in FROM_STACKS.items() if output in outputs}
    return {
        "ORDINAL_STAGE": settings.stage,
        "ORDINAL_CORS_ORIGIN": settings.cors_origin,
        **settings.store_variables,
        **stores,
        **queue_variables(queue_urls(outputs)),
    }


def deploy_target(settings: DeploySettings, outputs: Mapping[str, str]) -> DeployTarget:
    """The partition, region, account and network of the functions."""
    caller = aws_client(settings, "sts").get_caller_identity()
    security_group = outputs.get("FunctionsSecurityGroupId")
    return DeployTarget(
        partition=caller["Arn"].split(":")[1],
        region=settings.region,
        account=caller["Account"],
        subnet_ids=[subnet for subnet in outputs.get("SubnetIds", "").split(",") if subnet],
        security_group_ids=[security_group] if security_group else [],
    )
