"""`python -m infra.deploy.package`: the whole of a stage as one CloudFormation deployment, for a pipeline.

Chalice makes the functions' template. What only a deployment knows stands in it as a mark, and each mark
becomes a parameter, which the template above all others fills from the stacks beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from infra.deploy.chalice import chalice
from infra.deploy.environment import FROM_STACKS, environment
from infra.deploy.gateway_answers import CODES, gateway_answer
from infra.deploy.partial_batches import WANTED
from infra.deploy.queues import OUTPUTS
from infra.deploy.settings import LOCAL_STAGES, DeploySettings, checked_origin
from infra.deploy.stacks import FOLDER, TEMPLATES
from infra.deploy.staging import Place, restore_packages, stage_project

PROJECT = Path(__file__).resolve().parents[2]
SUBNETS, GROUP = "SubnetIds", "FunctionsGroupId"
GIVEN = (*FROM_STACKS.values(), *OUTPUTS, SUBNETS, GROUP)
MARK = re.compile(r"<<(\w+)>>")
# What checkov asks for and these do not have, with the reason.
EXCEPTIONS = {
    "AWS::IAM::Role": {
        "CKV_AWS_111": "Lambda's own network interfaces have no name before; the code is denied them",
    },
    "AWS::Serverless::Function": {
        "CKV_AWS_116": "dead letters are the queues'; a schedule comes again, a request is answered",
        "CKV_AWS_173": "there is no secret in it, only the names of secrets",
    },
    "AWS::Serverless::Api": {
        "CKV_AWS_73": "every line of the log names its request; nothing is traced beside that",
        "CKV_AWS_76": "the function's log has a line for every request",
        "CKV_AWS_120": "a writer reads its own write at once, so no answer may be an old one",
    },
}
# Functions without a way out cannot tell CloudFormation that the tables are there: the pipeline calls it.
THEN = "aws lambda invoke --function-name ordinal-{stage}-migrate --payload '{{}}' /dev/stdout"


def main() -> None:
    """Write the folder, and say what to do with it."""
    arguments = _parse()
    if arguments.stage in LOCAL_STAGES:
        sys.exit(f"{arguments.stage} is a stage of LocalStack; there is nothing to package for it.")
    origin = checked_origin(os.environ.get("ORDINAL_CORS_ORIGIN", ""))
    package(arguments.stage, arguments.project, arguments.work, arguments.out, origin)
    print(
        f"\n{arguments.out} is complete. In the pipeline:\n\n"
        f"cd {arguments.out}\n"
        "aws cloudformation package --template-file ordinal.json --s3-bucket $BUCKET"
        " --output-template-file packaged.json --use-json\n"
        f"aws cloudformation deploy --template-file packaged.json --stack-name"
        f" ordinal-{arguments.stage} --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND\n"
        f"{THEN.format(stage=arguments.stage)}"
    )


def package(stage: str, project: Path, work: Path, out: Path, cors_origin: str = "") -> None:
    """The functions' package and template, the other templates, and the one above them."""
    settings = DeploySettings(stage, "", "us-east-1", cors_origin, "", {})
    marks = {name: f"<<{name}>>" for name in GIVEN}
    network = Place(
        "${AWS::Partition}", "${AWS::Region}", "${AWS::AccountId}", [marks[SUBNETS]], [marks[GROUP]]
    )
    variables = environment(settings, marks)
    copy = stage_project(project, work, settings, network, variables)
    restore_packages(copy, project / "var/cache/deployments")
    shutil.rmtree(out, ignore_errors=True)
    chalice(copy, settings, variables, "package", "--stage", stage, str(out))
    made = json.loads((out / "sam.json").read_text())
    (out / "sam.json").unlink()
    for template in TEMPLATES:
        shutil.copyfile(FOLDER / f"{template.name}.yaml", out / f"{template.name}.yaml")
    (out / "functions.json").write_text(json.dumps(finished(made, cors_origin), indent=1))
    (out / "ordinal.json").write_text(json.dumps(above(stage), indent=1))


def finished(template: dict[str, Any], cors_origin: str) -> dict[str, Any]:
    """Chalice's template with parameters for marks, partial batch responses and API Gateway's own answers."""
    for resource in template["Resources"].values():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "SQS":
                event["Properties"]["FunctionResponseTypes"] = WANTED
    answers = [gateway_answer(kind, cors_origin) for kind in CODES]
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    body["x-amazon-apigateway-gateway-responses"] = {
        one.pop("responseType"): one for one in answers
    }
    done: dict[str, Any] = _with_references(template)
    done["Parameters"] = {name: {"Type": _type(name)} for name in GIVEN}
    for resource in done["Resources"].values():
        if excepted := EXCEPTIONS.get(resource["Type"]):
            skip = [{"id": check, "comment": reason} for check, reason in excepted.items()]
            resource["Metadata"] = {"checkov": {"skip": skip}}
    return done


def above(stage: str) -> dict[str, Any]:
    """The template of templates: each is given what those before it give."""
    source = {name: f"{one.name.capitalize()}" for one in TEMPLATES for name in _outputs(one.name)}
    resources: dict[str, Any] = {}
    for one in TEMPLATES:
        given: dict[str, Any] = {"Stage": stage}
        given |= {name: _output(source[name], name) for name in one.parameters if name in source}
        if "AlarmEmail" in one.parameters:
            given |= {"AlarmEmail": {"Ref": "AlarmEmail"}}
        resources[one.name.capitalize()] = _stack(f"{one.name}.yaml", given, kept=one.holds_data)
    given = {name: _output(source[name], name) for name in GIVEN}
    resources["Functions"] = _stack("functions.json", given, kept=False) | {"DependsOn": "Watch"}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Ordinal: everything of the stage {stage}",
        # W3002: the files beside it are put into a bucket by `aws cloudformation package`.
        "Metadata": {"cfn-lint": {"config": {"ignore_checks": ["W3002"]}}},
        "Parameters": {"AlarmEmail": {"Type": "String", "Default": ""}},
        "Resources": resources,
        "Outputs": {"EndpointURL": {"Value": _output("Functions", "EndpointURL")}},
    }


def _stack(file: str, parameters: dict[str, Any], kept: bool) -> dict[str, Any]:
    stack = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": f"./{file}", "Parameters": parameters},
    }
    kept_too = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}
    return stack | (kept_too if kept else {})


def _output(stack: str, name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [stack, f"Outputs.{name}"]}


def _outputs(template: str) -> list[str]:
    text = (FOLDER / f"{template}.yaml").read_text()
    return re.findall(r"^  (\w+): ", text.partition("\nOutputs:\n")[2], re.MULTILINE)


def _type(name: str) -> str:
    return "List<AWS::EC2::Subnet::Id>" if name == SUBNETS else "String"


def _with_references(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"Fn::Sub"}:
            return value
        return {key: _with_references(one) for key, one in value.items()}
    if value == [f"<<{SUBNETS}>>"]:
        return {"Ref": SUBNETS}
    if isinstance(value, list):
        return [_with_references(one) for one in value]
    if isinstance(value, str) and (mark := MARK.fullmatch(value)):
        return {"Ref": mark[1]}
    if isinstance(value, str) and "${AWS::" in value:
        return {"Fn::Sub": value}
    return value


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy.package", description=__doc__)
    parser.add_argument("--stage", required=True)
    parser.add_argument("--project", type=Path, default=PROJECT, help="the working copy")
    parser.add_argument("--work", type=Path, default=PROJECT / "var/deploy", help="scratch folder")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
