"""The last lines of `make test`."""

import re
from pathlib import Path

from infra.local import checks
from infra.local.paths import Stack

OUTPUT = """\
tests/unit/test_a.py ..s..s                                              [100%]
=========================== short test summary info ============================
SKIPPED [2] tests/contract/test_b.py:12: no mysql: set a URL
SKIPPED [1] tests/unit/test_a.py:7: no browser
SKIPPED [3] tests/contract/test_c.py: no mysql: set a URL
=================== 4 passed, 6 skipped in 1.50s ===================
"""


def test_each_reason_of_a_skip_is_listed_once_with_its_tests() -> None:
    assert checks.skip_summary(OUTPUT) == [
        "Skipped tests, and why:",
        "     5 no mysql: set a URL (tests/contract/test_b.py, tests/contract/test_c.py)",
        "     1 no browser (tests/unit/test_a.py)",
    ]


def test_a_run_without_skips_has_a_line_about_that() -> None:
    assert checks.skip_summary("3 passed in 0.1s") == ["No test was skipped."]


def test_the_last_line_is_the_counts_of_pytest(tmp_path: Path) -> None:
    stack = type("StackIn", (Stack,), {"logs": tmp_path})("test", {}, {})
    (tmp_path / "pytest.log").write_text(OUTPUT)
    *before, last = checks.closing_lines(stack)
    assert last == OUTPUT.splitlines()[-1]
    assert not [line for line in before if re.search(r"\d+ (passed|failed|skipped)", line)]
