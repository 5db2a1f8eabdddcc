"""`python -m tests.faults`: faults on the running stack `faults`, one after another, and a table."""

import argparse
import os
import sys
import time

from infra.local.console import log, print_raw
from infra.local.paths import REGION
from tests.faults.harness import Harness
from tests.faults.load import Load
from tests.faults.random_mix import random_mix
from tests.faults.scenarios import NAMES, SCENARIOS, Scenario
from tests.faults.verdict import Verdict, as_markdown, judge, write
from tests.invariants.history import History

CHATS = 4
BEFORE_SECONDS, AFTER_SECONDS = 3.0, 3.0
_MOST_PRINTED = 20
_AWS = (
    ("AWS_DEFAULT_REGION", REGION),
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
)


def main() -> int:
    """Run the chosen scenarios; 0 if no promise was broken."""
    arguments = _parse()
    if arguments.list:
        print_raw("\n".join(NAMES))
        return 0
    harness = Harness()
    for name, value in (("AWS_ENDPOINT_URL", harness.content["aws"]["url"]), *_AWS):
        os.environ[name] = value  # for the use cases that run in this process
    verdicts: list[Verdict] = []
    file = harness.stack.directory / "table.md"
    try:
        if arguments.mix:
            verdicts.append(_run_mix(harness, arguments.mix))
        else:
            for scenario in SCENARIOS:
                if scenario.name in arguments.only:
                    verdicts.append(_run(harness, scenario))
                    write(verdicts, file)
    finally:
        harness.close()
    write(verdicts, file)
    print_raw("\n" + as_markdown(verdicts))
    return 1 if any(verdict.broken for verdict in verdicts) else 0


def _run(harness: Harness, scenario: Scenario) -> Verdict:
    log(f"{scenario.name}: {scenario.sentence} …")
    for queue in harness.queues.values():
        harness.sqs.purge_queue(QueueUrl=queue)
    load = Load(harness.new_application(scenario.name), History())
    load.create_chats(CHATS)
    with load:
        time.sleep(BEFORE_SECONDS)
        before = _count_requests(load)
        try:
            scenario.cause(harness, load)
        finally:
            harness.heal()
            load.end_after(AFTER_SECONDS)
        since, during = time.monotonic(), _count_requests(load) - before
    load.write_to_each_chat()
    verdict = judge(harness, load, scenario.sentence, during, since)
    _print(scenario.name, verdict, load)
    return verdict


def _run_mix(harness: Harness, minutes: float) -> Verdict:
    sentence = f"a random fault every 20 s, {minutes:g} min"
    return _run(harness, Scenario("mix", sentence, lambda h, load: random_mix(h, load, minutes)))


def _count_requests(load: Load) -> int:
    return len(load.history.attempts) + len(load.history.reads)


def _print(name: str, verdict: Verdict, load: Load) -> None:
    history = load.history
    through_inbox = sum(attempt.outcome == "enqueued" for attempt in history.attempts)
    copied = sum(len(copy.versions) for copy in history.copies.values())
    outcome = "no promise broken" if not verdict.broken else f"BROKE {len(verdict.broken)} promises"
    log(
        f"{name}: {outcome}; {verdict.acknowledged} acknowledged, {verdict.lost} lost, "
        f"{verdict.doubled} doubled, recovered after {verdict.seconds:.1f} s; "
        f"{through_inbox} through the inbox, {len(history.markers)} read markers, "
        f"{copied} messages in copies, {load.keys.count} secret keys"
    )
    for violation in verdict.broken[:_MOST_PRINTED]:
        print_raw(f"           {violation}")


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := sorted(set(names) - set(NAMES)):
        raise argparse.ArgumentTypeError(
            f"There is no fault {', '.join(unknown)}. There are: {', '.join(NAMES)}."
        )
    return names


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--only", type=_names, default=list(NAMES), help="names of faults, with commas"
    )
    parser.add_argument("--mix", type=float, help="run random faults for so many minutes instead")
    parser.add_argument("--list", action="store_true", help="print the names and exit")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
