"""`python -m tests.faults`: faults on the running stack `faults`, one after another, and a table."""

import argparse
import os
import sys
import time

from infra.local.console import plain, say
from infra.local.layout import REGION
from tests.faults.ground import Ground
from tests.faults.judging import Verdict, judge
from tests.faults.load import Load
from tests.faults.mixing import mixed
from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.table import as_markdown, write
from tests.promises.history import History

CHATS = 4
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 3.0


def main() -> int:
    """Run what was asked for; 0 where no promise was broken."""
    arguments = _parse()
    ground = Ground()
    for name, value in (("AWS_ENDPOINT_URL", ground.content["aws"]["url"]), *_AWS):
        os.environ[name] = value  # for the use cases that run in this process
    verdicts: list[Verdict] = []
    file = ground.stack.directory / "table.md"
    try:
        if arguments.mix:
            verdicts.append(_mix(ground, arguments.mix))
        else:
            for scenario in _chosen(arguments.only):
                verdicts.append(_run(ground, scenario))
                write(verdicts, file)
    finally:
        ground.close()
    write(verdicts, file)
    plain("\n" + as_markdown(verdicts))
    return 1 if any(verdict.broken for verdict in verdicts) else 0


_AWS = (
    ("AWS_DEFAULT_REGION", REGION),
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
)


def _run(ground: Ground, scenario: Scenario) -> Verdict:
    say(f"{scenario.name}: {scenario.sentence} …")
    for queue in ground.queues.values():
        ground.sqs.purge_queue(QueueUrl=queue)
    load = Load(ground.new_application(scenario.name), History())
    load.make_chats(CHATS)
    with load:
        time.sleep(BEFORE_SECONDS)
        before = _seen(load)
        try:
            scenario.make(ground, load)
        finally:
            ground.heal()
            load.ending_soon(AFTER_SECONDS)
        since, during = time.monotonic(), _seen(load) - before
    load.write_to_each_chat()
    verdict = judge(ground, load, scenario.sentence, during, since)
    _tell(scenario.name, verdict, load)
    return verdict


def _mix(ground: Ground, minutes: float) -> Verdict:
    sentence = f"a random fault every 20 s, {minutes:g} min"
    return _run(ground, Scenario("mix", sentence, lambda g, load: mixed(g, load, minutes)))


def _seen(load: Load) -> int:
    return len(load.history.acts) + len(load.history.reads)


def _tell(name: str, verdict: Verdict, load: Load) -> None:
    history = load.history
    by_inbox = sum(act.outcome == "taken" for act in history.acts)
    told = sum(len(copy.states) for copy in history.copies.values())
    outcome = "kept its promises" if not verdict.broken else f"BROKE {len(verdict.broken)}"
    say(
        f"{name}: {outcome}; {verdict.acknowledged} acknowledged, {verdict.lost} lost, "
        f"{verdict.doubled} doubled, calm after {verdict.seconds:.1f} s; "
        f"{by_inbox} through the inbox, {len(history.told)} read markers, {told} messages in copies, "
        f"{load.keys.count} secret keys"
    )
    for said in verdict.broken[:20]:
        plain(f"           {said}")


def _chosen(only: str | None) -> list[Scenario]:
    if only is None:
        return SCENARIOS
    names = only.split(",")
    if unknown := set(names) - {one.name for one in SCENARIOS}:
        known = ", ".join(one.name for one in SCENARIOS)
        sys.exit(f"There is no {', '.join(sorted(unknown))}; there are: {known}.")
    return [one for one in SCENARIOS if one.name in names]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--only", help="scenarios by name, with commas")
    parser.add_argument("--mix", type=float, help="minutes of mixed faults")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
