"""The roles that AWS's own services take on in an account; CloudFormation cannot make one that is there."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

SERVICES = ("opensearchservice.amazonaws.com", "elasticache.amazonaws.com", "rds.amazonaws.com")
IS_THERE = "has been taken"


def put_service_roles(iam: Any) -> None:
    """Make those that are missing."""
    for service in SERVICES:
        try:
            iam.create_service_linked_role(AWSServiceName=service)
        except ClientError as error:
            if IS_THERE not in str(error):
                raise
