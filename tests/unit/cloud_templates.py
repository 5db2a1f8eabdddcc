"""The CloudFormation templates as Python values, their short tags spelled out."""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "infra/cloud"


class _Loader(yaml.SafeLoader):
    pass


def _tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    assert isinstance(node, yaml.SequenceNode)
    return {name: loader.construct_sequence(node, deep=True)}


_Loader.add_multi_constructor("!", _tag)


def template(name: str) -> dict[str, Any]:
    """One template of `infra/cloud`."""
    loaded: dict[str, Any] = yaml.load((FOLDER / f"{name}.yaml").read_text(), _Loader)
    return loaded


def of_type(name: str, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type, by their names in the template."""
    resources = template(name)["Resources"]
    return {key: one["Properties"] for key, one in resources.items() if one["Type"] == kind}
