"""The runbook speaks of the alarms and the commands that there are."""

import re
import subprocess
from pathlib import Path

import pytest

from chatctl.main import cli
from tests.unit.cloud_templates import of_type

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text()
ALARMS = PAGE.split("## Alarms")[1].split("\n## ")[0]


def test_every_alarm_has_its_line_and_no_other_has_one() -> None:
    names = [
        str(alarm["AlarmName"]["Fn::Sub"]).removeprefix("ordinal-${Stage}-")
        for alarm in of_type("watch", "AWS::CloudWatch::Alarm").values()
    ]
    rows = re.findall(r"^\| (`[^|]+`) \|", ALARMS, re.M)
    told = [name for row in rows for name in re.findall(r"`([a-z-]+)`", row)]
    assert sorted(told) == sorted(names)


def test_every_command_of_chatctl_is_one_that_there_is() -> None:
    commands = re.findall(r"bin/chatctl (\w+)((?: --?[a-z-]+)*)", PAGE)
    assert commands
    for name, options in commands:
        known = {option for p in cli.commands[name].params for option in p.opts}
        assert set(options.split()) <= known, name


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make (\w+)", PAGE))))
def test_every_target_of_make_is_one_that_there_is(target: str) -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(rf"make {target}\b", listed.stdout)
