"""The CloudFormation templates as Python values, with the long form of their short tags."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "infra/cloud"


class _Loader(yaml.SafeLoader):
    pass


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    assert isinstance(node, yaml.SequenceNode)
    return {name: loader.construct_sequence(node, deep=True)}


_Loader.add_multi_constructor("!", _long_form)


def template(name: str) -> dict[str, Any]:
    """One template of `infra/cloud`."""
    document: dict[str, Any] = yaml.load((FOLDER / f"{name}.yaml").read_text(), _Loader)
    return document


def of_type(name: str, resource_type: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type by their logical names. At least one must exist."""
    resources = template(name)["Resources"]
    properties = {
        key: resource["Properties"]
        for key, resource in resources.items()
        if resource["Type"] == resource_type
    }
    assert properties, f"{name}.yaml has no resource of the type {resource_type}"
    return properties
