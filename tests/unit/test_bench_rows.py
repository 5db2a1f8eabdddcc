"""The output of `make bench`: the table, and the differences from the recorded figures."""

from pathlib import Path

from tests.bench.measure import compared, plain
from tests.bench.rows import RECORDED, Row, differences, table

PAIRED = compared("accept_one, cpu", "µs", [400.0, 410.0, 420.0], [200.0, 205.0, 210.0], most=1.5)
ALONE = plain("page", "µs", [1_000.0, 1_010.0, 990.0], most=2_000)


def test_the_ratio_is_the_median_of_the_pairs_and_is_compared_with_its_goal() -> None:
    assert (PAIRED.ratio, PAIRED.goal, PAIRED.reached) == (2.0, "≤ 1.5 ×", False)
    assert (ALONE.value, ALONE.goal, ALONE.reached) == (1_000.0, "≤ 2,000", True)
    faster = compared("x", "1/s", [90.0] * 3, [100.0] * 3, least=0.7)
    assert (faster.goal, faster.reached) == ("≥ 0.7 ×", True)


def test_the_table_has_a_line_for_each_row() -> None:
    lines = table([PAIRED, ALONE]).splitlines()
    assert lines[2] == "| `accept_one, cpu` | 410 | µs | 205 | 2 | ≤ 1.5 × | **no** | ±0% |"
    assert lines[3].startswith("| `page` | 1,000 | µs |  |  | ≤ 2,000 | yes |")


def test_a_run_is_compared_with_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(table([PAIRED, ALONE]))
    assert differences([PAIRED, ALONE], page) == []
    slower = Row(name="page", value=1_200.0, unit="µs")
    assert differences([slower], page) == ["page: value 1,000 on the page, 1,200 now"]
    assert differences([Row(name="new", value=1.0, unit="s")], page) == ["new: not on the page"]


def test_the_page_has_figures_of_the_benchmarks() -> None:
    text = RECORDED.read_text()
    for name in (
        "accept_one, cpu",
        "accept_script",
        "persist_batch",
        "import",
    ):
        assert f"| `{name}` |" in text
