"""The tables of `docs/scaling.md`, which a test holds to this."""

from infra.scaling.inputs import PRICES, SECONDS, Measured, Mix
from infra.scaling.model import GB, NODE_BYTES, PROCESSORS, Load, costs, default, setting

RATES = (1, 100, 10_000)
GATEWAY_RATE = 10_000  # what an account may ask for in a second, unless AWS raises it
DISK_GROWS_TO = 1_000  # GB, `MaxAllocatedStorage`
LUCENE_DOCUMENTS = 2**31  # of one shard
DAY = 86_400


def tables() -> dict[str, str]:
    """Each by its name."""
    loads = [Load(rate, Mix(), Measured()) for rate in RATES]
    return {
        "Prices": _table(("price", "dollars", "unit", "from"), _prices()),
        "What it makes": _table(_head("a second"), _work(loads)),
        "A month": _table(_head("dollars a month"), _month(loads)),
        "Limits": _table(_head("as deployed at first"), _limits(loads)),
    }


def _head(first: str) -> tuple[str, ...]:
    return (first, *(f"{rate:,}" for rate in RATES))


def _prices() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, price in PRICES.items():
        dollars = ", then ".join(f"{one:.10f}".rstrip("0").rstrip(".") for _, one in price.steps)
        steps = ", ".join(f"{up_to:,.0f}" for up_to, _ in price.steps[:-1])
        unit = f"{price.unit}; steps end at {steps}" if steps else price.unit
        rows.append((name, dollars, unit, price.source))
    return rows


def _work(loads: list[Load]) -> list[tuple[str, ...]]:
    rows = {
        "requests": [one.requests for one in loads],
        "records on the messages queue": [one.records for one in loads],
        "invocations of `persist_messages`": [one.persists for one in loads],
        "messages in one of them": [one.rate / one.persists for one in loads],
        "records on the search queue": [one.documents_records for one in loads],
        "invocations of `index_messages`": [one.indexings for one in loads],
        "requests to SQS": [one.sqs_requests for one in loads],
        "scripts in Valkey": [one.scripts for one in loads],
    }
    return [(name, *map(_number, values)) for name, values in rows.items()]


def _month(loads: list[Load]) -> list[tuple[str, ...]]:
    each = [costs(one) for one in loads]
    rows = [(name, *(f"{one[name]:,.0f}" for one in each)) for name in each[0]]
    totals = [sum(one.values()) for one in each]
    per_million = [
        total / (one.rate * SECONDS / 1e6) for total, one in zip(totals, loads, strict=True)
    ]
    return [
        *rows,
        ("**all**", *(f"**{total:,.0f}**" for total in totals)),
        ("for a million messages", *(f"{dollars:,.2f}" for dollars in per_million)),
    ]


def _limits(loads: list[Load]) -> list[tuple[str, ...]]:
    """How much of each limit is used; the first that is above 100 % is the bottleneck."""
    shards, large = default("RedisShards"), PROCESSORS
    used = {
        "API Gateway, requests a second": [one.requests / GATEWAY_RATE for one in loads],
        **{
            f"`{name}`, processes": [
                one.busy[name] / setting(name, "reserved_concurrency") for one in loads
            ]
            for name in loads[0].busy
        },
        "Valkey, engines": [one.scripts / one.measured.scripts / shards for one in loads],
        "Valkey, memory": [one.redis_bytes / NODE_BYTES / shards for one in loads],
        "MySQL, processors": [one.mysql_processors / large for one in loads],
        "OpenSearch, processors of both nodes": [
            one.opensearch_processors / large / 2 for one in loads
        ],
    }
    per_day = {
        "MySQL, disk": [DISK_GROWS_TO * GB / one.measured.row_bytes / one.rate for one in loads],
        "OpenSearch, disks": [
            default("OpensearchStorageGb") * GB / one.measured.document_bytes / one.rate
            for one in loads
        ],
        "OpenSearch, documents of the shard": [LUCENE_DOCUMENTS / one.rate for one in loads],
    }
    rows = [(name, *(_share(value) for value in values)) for name, values in used.items()]
    return rows + [
        (f"{name}, full after", *(_days(seconds) for seconds in values))
        for name, values in per_day.items()
    ]


def _share(value: float) -> str:
    text = f"{value:.0%}" if value >= 0.01 else "< 1%"
    return f"**{text}**" if value > 1 else text


def _days(seconds: float) -> str:
    days = seconds / DAY
    text = f"{days / 365:,.0f} years" if days > 730 else f"{days:,.1f} days"
    return f"**{text}**" if days < 30 else text


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
