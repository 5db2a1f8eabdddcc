"""The runbook names the alarms and the commands that exist, and no others."""

import re
import subprocess
from pathlib import Path

import pytest

from chatctl.main import cli
from tests.unit.cloud_templates import of_type

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()
# The test that runs a command: on the deployed stack, or on stores of its own if it destroys data.
RUNBOOK = "tests/e2e/test_runbook.py"
DEPLOYMENT = "tests/e2e/test_deployment.py"
RUN_BY = {
    "chatctl lag": (
        RUNBOOK,
        "test_lag_and_readiness_show_the_state_of_every_service",
    ),
    "chatctl verify": (
        RUNBOOK,
        "test_after_advance_counters_numbers_are_skipped_and_writes_continue",
    ),
    "chatctl redrive": (
        "tests/e2e/test_poison.py",
        "test_a_poison_record_fails_alone_and_can_be_redriven",
    ),
    "chatctl reindex": (
        "tests/e2e/test_chatctl_reindex.py",
        "test_messages_that_are_posted_during_a_reindex_are_all_found",
    ),
    "chatctl recount": (
        "tests/contract/test_mysql.py",
        "test_recount_reports_and_repairs_wrong_counts",
    ),
    "chatctl advance-counters": (
        "tests/contract/test_restore_drill.py",
        "test_a_restore_issues_no_number_twice_and_loses_nothing_of_the_dump",
    ),
    "make deploy": (
        DEPLOYMENT,
        "test_a_deployment_that_was_killed_anywhere_can_run_again_and_leaves_no_duplicates",
    ),
    "aws lambda invoke": (
        DEPLOYMENT,
        "test_a_deployment_that_was_killed_anywhere_can_run_again_and_leaves_no_duplicates",
    ),
    "aws lambda list-event-source-mappings": (
        "tests/e2e/test_whole_way.py",
        "test_a_message_arrives_although_the_chats_worker_is_stopped",
    ),
    "aws lambda update-event-source-mapping": (
        "tests/e2e/test_whole_way.py",
        "test_a_message_arrives_although_the_chats_worker_is_stopped",
    ),
    "POST /applications/{token}/keys": (
        "tests/e2e/test_isolation.py",
        "test_a_key_that_was_replaced_without_overlap_is_refused_at_once",
    ),
}
# These work only in an AWS account.
ONLY_ON_AWS = {
    "aws lambda put-function-concurrency",
    "aws rds restore-db-instance-to-point-in-time",
    "aws rds modify-db-instance",
}
ALARMS = PAGE.split("## Alarms")[1].split("\n## ")[0]


def test_every_alarm_has_its_row_and_no_other_has_one() -> None:
    names = [
        str(alarm["AlarmName"]["Fn::Sub"]).removeprefix("ordinal-${Stage}-")
        for alarm in of_type("monitoring", "AWS::CloudWatch::Alarm").values()
    ]
    rows = re.findall(r"^\| (`[^|]+`) \|", ALARMS, re.M)
    listed = [name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)]
    assert sorted(listed) == sorted(names)


def test_every_command_of_chatctl_exists() -> None:
    commands = re.findall(r"bin/chatctl ([\w-]+)((?: --?[a-z-]+)*)", PAGE)
    assert commands
    for name, options in commands:
        known = {option for p in cli.commands[name].params for option in p.opts}
        assert set(options.split()) <= known, name


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)", PAGE))))
def test_every_target_of_make_exists(target: str) -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(rf"make {target}\b", listed.stdout)


def test_every_command_on_the_page_is_run_by_a_test_or_works_on_aws_only() -> None:
    on_the_page = set(re.findall(r"bin/(chatctl [\w-]+)", PAGE))
    on_the_page |= {f"make {target}" for target in re.findall(r"`make (\w+)", PAGE)}
    on_the_page |= set(re.findall(r"aws (?:lambda|rds) [a-z-]+", PAGE))
    on_the_page |= set(re.findall(r"`(POST [^`]+)`", PAGE))
    assert on_the_page == RUN_BY.keys() | ONLY_ON_AWS
    for file, test in RUN_BY.values():
        assert f"def {test}(" in (ROOT / file).read_text(), test
