"""Service-linked roles: one for each AWS service that manages a store. An account has each of them once.

CloudFormation cannot make them, because it fails if the role exists.
"""

from typing import Any

from botocore.exceptions import ClientError

SERVICES = ("opensearchservice.amazonaws.com", "elasticache.amazonaws.com", "rds.amazonaws.com")
EXISTS = "has been taken"  # the words of IAM


def ensure_service_roles(iam: Any) -> None:
    """Create the roles that are missing."""
    for service in SERVICES:
        try:
            iam.create_service_linked_role(AWSServiceName=service)
        except ClientError as error:
            if EXISTS not in str(error):
                raise
