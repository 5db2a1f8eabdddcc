"""The tables of `docs/scaling.md`. A test holds the page to them."""

from docs.cost_model.inputs import MONTH_SECONDS, PRICES, Measured, Mix
from docs.cost_model.model import GB, NODE_BYTES, PROCESSORS, Load, costs, default, setting

RATES = (1, 100, 10_000)
GATEWAY_RATE = 10_000  # AWS' default limit of requests a second for an account
MAX_DISK_GB = 1_000  # `MaxAllocatedStorage`
MAX_SHARD_DOCUMENTS = 2**31  # Lucene's limit
DAY_SECONDS = 86_400


def tables() -> dict[str, str]:
    """Each table by its name."""
    loads = [Load(rate, Mix(), Measured()) for rate in RATES]
    return {
        "Prices": _table(("price", "dollars", "unit", "from"), _prices()),
        "Work": _table(_head("a second"), _work(loads)),
        "A month": _table(_head("dollars a month"), _month(loads)),
        "Limits": _table(_head("as deployed at first"), _limits(loads)),
    }


def _head(first: str) -> tuple[str, ...]:
    return (first, *(f"{rate:,}" for rate in RATES))


def _prices() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, price in PRICES.items():
        dollars = ", then ".join(_price(dollars) for _, dollars in price.steps)
        steps = ", ".join(f"{up_to:,.0f}" for up_to, _ in price.steps[:-1])
        unit = f"{price.unit}; steps end at {steps}" if steps else price.unit
        rows.append((name, dollars, unit, price.source))
    return rows


def _work(loads: list[Load]) -> list[tuple[str, ...]]:
    rows = {
        "requests": [load.requests for load in loads],
        "records on the messages queue": [load.records for load in loads],
        "invocations of `persist_messages`": [load.persists for load in loads],
        "messages in one of them": [load.rate / load.persists for load in loads],
        "records on the search queue": [load.documents_records for load in loads],
        "invocations of `index_messages`": [load.indexings for load in loads],
        "requests to SQS": [load.sqs_requests for load in loads],
        "scripts in Valkey": [load.scripts for load in loads],
    }
    return [(name, *map(_number, values)) for name, values in rows.items()]


def _month(loads: list[Load]) -> list[tuple[str, ...]]:
    bills = [costs(load) for load in loads]
    rows = [(name, *(f"{bill[name]:,.0f}" for bill in bills)) for name in bills[0]]
    totals = [sum(bill.values()) for bill in bills]
    per_million = [
        total / (load.rate * MONTH_SECONDS / 1e6) for total, load in zip(totals, loads, strict=True)
    ]
    return [
        *rows,
        ("**all**", *(f"**{total:,.0f}**" for total in totals)),
        ("for a million messages", *(f"{dollars:,.2f}" for dollars in per_million)),
    ]


def _limits(loads: list[Load]) -> list[tuple[str, ...]]:
    """How much of each limit is used. The first that is above 100 % is the bottleneck."""
    shards = default("RedisShards")
    shares = {
        "API Gateway, requests a second": [load.requests / GATEWAY_RATE for load in loads],
        **{
            f"`{name}`, processes": [
                load.busy_processes[name] / setting(name, "reserved_concurrency") for load in loads
            ]
            for name in loads[0].busy_processes
        },
        "Valkey, engines": [load.scripts / load.measured.scripts / shards for load in loads],
        "Valkey, memory": [load.redis_bytes / NODE_BYTES / shards for load in loads],
        "MySQL, processors": [load.mysql_processors / PROCESSORS for load in loads],
        "OpenSearch, processors of both nodes": [
            load.opensearch_processors / PROCESSORS / 2 for load in loads
        ],
    }
    seconds_until_full = {
        "MySQL, disk": [MAX_DISK_GB * GB / load.measured.row_bytes / load.rate for load in loads],
        "OpenSearch, disks": [
            default("OpensearchStorageGb") * GB / load.measured.document_bytes / load.rate
            for load in loads
        ],
        "OpenSearch, documents of the shard": [MAX_SHARD_DOCUMENTS / load.rate for load in loads],
    }
    rows = [(name, *(_share(value) for value in values)) for name, values in shares.items()]
    return rows + [
        (f"{name}, full after", *(_days(seconds) for seconds in values))
        for name, values in seconds_until_full.items()
    ]


def _price(dollars: float) -> str:
    return f"{dollars:.10f}".rstrip("0").rstrip(".")


def _share(value: float) -> str:
    text = f"{value:.0%}" if value >= 0.01 else "< 1%"
    return f"**{text}**" if value > 1 else text


def _days(seconds: float) -> str:
    days = seconds / DAY_SECONDS
    text = f"{days / 365:,.0f} years" if days > 730 else f"{days:,.1f} days"
    return f"**{text}**" if days < 30 else text


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
