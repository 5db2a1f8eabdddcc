"""The tables of the page about costs and limits are those of the model."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from chalicelib.domain.limits import APPLICATION_RATE
from docs.cost_model.inputs import PRICES, Measured, Mix
from docs.cost_model.model import Load, costs
from docs.cost_model.tables import GATEWAY_RATE, RATES, tables

PAGE = (Path(__file__).parents[2] / "docs/scaling.md").read_text()


@pytest.mark.parametrize("name", tables())
def test_the_page_has_each_table_as_it_is_computed(name: str) -> None:
    assert f"\n\n{tables()[name]}\n\n" in f"{PAGE}\n"


def test_an_application_at_its_rate_leaves_most_of_the_gateway_to_others() -> None:
    assert 5 * APPLICATION_RATE <= GATEWAY_RATE


def test_a_price_falls_by_its_steps() -> None:
    gateway = PRICES["gateway"]
    assert gateway.cost(100) == pytest.approx(350)
    assert gateway.cost(1_333) == pytest.approx(333 * 3.5 + 667 * 2.8 + 333 * 2.38)


def test_more_messages_cost_more_and_a_single_message_costs_less() -> None:
    totals = [sum(costs(Load(rate, Mix(), Measured())).values()) for rate in RATES]
    assert totals == sorted(totals)
    per_message = [total / rate for total, rate in zip(totals, RATES, strict=True)]
    assert per_message == sorted(per_message, reverse=True)


def test_batches_cost_less_than_the_same_messages_one_by_one() -> None:
    single, batched = (
        costs(Load(100, replace(Mix(), batched_share=share), Measured())) for share in (0.0, 1.0)
    )
    for service in ("API Gateway", "Lambda", "SQS", "Logs"):
        assert batched[service] < single[service]


@pytest.mark.parametrize("rate", RATES)
def test_an_invocation_holds_at_least_one_record_and_at_most_a_batch(rate: int) -> None:
    load = Load(rate, Mix(), Measured())
    assert 1 <= load.records / load.persists <= 500
    assert 1 <= load.documents_records / load.indexings <= 500
