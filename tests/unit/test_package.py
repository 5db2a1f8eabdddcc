"""The packaged stage: what Chalice leaves out is in it, and the checkers have nothing against it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from app import app
from chalicelib.settings import QUEUES
from infra.deploy.package import package
from infra.local.paths import TOOLS
from tests.unit.cloud_templates import FOLDER, of_type

ROOT = Path(__file__).parents[2]
FUNCTION = "AWS::Serverless::Function"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packaged without the packages that the functions need, which the templates know nothing of."""
    folder = tmp_path_factory.mktemp("package")
    project = folder / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("chalicelib", ".chalice"):
        shutil.copytree(ROOT / name, project / name, ignore=ignored)
    shutil.copyfile(ROOT / "app.py", project / "app.py")
    (project / "requirements.txt").touch()
    package("prod", project, folder / "work", folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def functions(out: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "functions.json").read_text())
    return loaded


def made(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    resources = template["Resources"].items()
    return {name: one["Properties"] for name, one in resources if one["Type"] == kind}


def test_every_queue_is_worked_off_with_partial_batch_responses(functions: dict[str, Any]) -> None:
    events = [
        event["Properties"]
        for function in made(functions, FUNCTION).values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "SQS"
    ]
    assert {one["Queue"]["Fn::Sub"].rpartition("-")[2] for one in events} == set(QUEUES)
    for one in events:
        assert one["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert one["ScalingConfig"]["MaximumConcurrency"] >= 2


def test_every_function_has_its_limits_its_network_and_a_role_of_its_own(
    functions: dict[str, Any],
) -> None:
    found = made(functions, FUNCTION)
    assert len(found) == 1 + len(app.event_sources) + len(app.pure_lambda_functions)
    assert len({function["Role"]["Fn::GetAtt"][0] for function in found.values()}) == len(found)
    for function in found.values():
        assert function["ReservedConcurrentExecutions"] > 0
        assert function["Architectures"] == ["arm64"]
        network = {"SubnetIds": {"Ref": "SubnetIds"}}
        network["SecurityGroupIds"] = [{"Ref": "FunctionsGroupId"}]  # type: ignore[assignment]
        assert function["VpcConfig"] == network


def test_records_stay_hidden_for_six_time_outs(functions: dict[str, Any], out: Path) -> None:
    hidden = re.search(
        r"VisibilityTimeoutSeconds:\n +Type: Number\n +Default: (\d+)",
        (out / "queues.yaml").read_text(),
    )
    workers = [one for one in made(functions, FUNCTION).values() if "SQS" in json.dumps(one)]
    assert hidden
    assert all(int(hidden[1]) > 6 * worker["Timeout"] for worker in workers)


def test_no_environment_holds_a_secret(functions: dict[str, Any]) -> None:
    for function in made(functions, FUNCTION).values():
        variables = function["Environment"]["Variables"]
        for name in ("MASTER_KEY", "ADMIN_KEY", "REDIS_PASSWORD", "MYSQL_PASSWORD", "MYSQL_OWNER"):
            assert re.fullmatch(r"\w+Arn", variables[f"ORDINAL_{name}"]["Ref"])
        assert variables["ORDINAL_REDIS_KEEPS_WRITES"] == "1"


def test_the_stores_are_spoken_to_by_tls_only(functions: dict[str, Any]) -> None:
    outputs = (FOLDER / "data.yaml").read_text().partition("\nOutputs:")[2]
    assert '"rediss+cluster://' in outputs
    assert "ssl_ca=rds" in outputs
    assert '"https://' in outputs
    [redis] = of_type("data", "AWS::ElastiCache::ReplicationGroup").values()
    assert redis["TransitEncryptionMode"] == "required"


def test_no_mark_and_no_placeholder_is_left(out: Path) -> None:
    for file in ("functions.json", "ordinal.json"):
        assert not re.findall(r"<<\w+>>|REGION\b|ACCOUNT\b|-STAGE", (out / file).read_text())


def test_api_gateway_answers_in_the_shape_of_all_errors(functions: dict[str, Any]) -> None:
    [api] = made(functions, "AWS::Serverless::Api").values()
    answers = api["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
    assert answers["THROTTLED"]["statusCode"] == "429"
    assert "rate-limited" in answers["THROTTLED"]["responseTemplates"]["application/json"]


def test_each_nested_stack_is_given_all_that_it_takes(out: Path, functions: dict[str, Any]) -> None:
    above = json.loads((out / "ordinal.json").read_text())["Resources"]
    assert set(above["Functions"]["Properties"]["Parameters"]) == set(functions["Parameters"])
    for name in ("Secrets", "Data", "Queues"):
        assert above[name]["DeletionPolicy"] == "RetainExceptOnCreate"


@pytest.mark.parametrize(
    "words",
    [
        ("cfn-lint", "--", "ordinal.json", "functions.json"),
        ("checkov", "--directory", ".", "--skip-download", "--compact", "--quiet"),
    ],
    ids=lambda words: words[0],
)
def test_the_checkers_have_nothing_against_it(words: tuple[str, ...], out: Path) -> None:
    program = TOOLS / "templates/bin" / words[0]
    if not program.exists():
        pytest.skip(f"{words[0]} is not installed; `make check` installs it")
    done = subprocess.run([program, *words[1:]], cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
