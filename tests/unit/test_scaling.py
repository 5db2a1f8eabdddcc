"""The page of costs and limits is what the model says."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from infra.scaling.inputs import PRICES, Measured, Mix
from infra.scaling.model import Load, costs
from infra.scaling.tables import RATES, tables

PAGE = (Path(__file__).parents[2] / "docs/scaling.md").read_text()


@pytest.mark.parametrize("name", tables())
def test_the_page_has_each_table_as_it_is_computed(name: str) -> None:
    assert f"\n\n{tables()[name]}\n\n" in f"{PAGE}\n"


def test_a_price_falls_by_its_steps() -> None:
    gateway = PRICES["gateway"]
    assert gateway.of(100) == pytest.approx(350)
    assert gateway.of(1_333) == pytest.approx(333 * 3.5 + 667 * 2.8 + 333 * 2.38)


def test_more_messages_cost_more_and_each_of_them_less() -> None:
    totals = [sum(costs(Load(rate, Mix(), Measured())).values()) for rate in RATES]
    assert totals == sorted(totals)
    each = [total / rate for total, rate in zip(totals, RATES, strict=True)]
    assert each == sorted(each, reverse=True)


def test_batches_cost_less_than_the_same_messages_one_by_one() -> None:
    single, batched = (
        costs(Load(100, replace(Mix(), batched=share), Measured())) for share in (0.0, 1.0)
    )
    for part in ("API Gateway", "Lambda", "SQS", "Logs"):
        assert batched[part] < single[part]


@pytest.mark.parametrize("rate", RATES)
def test_an_invocation_never_holds_more_records_than_a_batch_nor_less_than_one(rate: int) -> None:
    load = Load(rate, Mix(), Measured())
    assert 1 <= load.records / load.persists <= 500
    assert 1 <= load.documents_records / load.indexings <= 500
