"""Put the index before the first document.

It may run any number of times, and twice at once. The index carries a version in its name and is
used through an alias only, so that a later version can be filled beside it and swapped in.
"""

from opensearchpy import OpenSearch
from opensearchpy.exceptions import RequestError

from chalicelib.adapters.opensearch.connection import Answer, Connection
from chalicelib.adapters.opensearch.mapping import ALIAS, MAPPINGS, VERSION, settings


def migrate(url: str, alias: str = ALIAS, shards: int = 1) -> str:
    """Create index and alias in one step, unless the alias is there. Returns what was done.

    Raises `UnavailableError`, also where something else has the name of the alias.
    """
    index = f"{alias}-v{VERSION}"
    body = {
        "settings": settings(shards),
        "mappings": MAPPINGS,
        "aliases": {alias: {"is_write_index": True}},
    }

    def put(client: OpenSearch) -> Answer:
        if client.indices.exists_alias(name=alias):
            return {"done": f"{alias} is there"}
        try:
            client.indices.create(index=index, body=body)
        except RequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            # Another migration was faster, or the index is left from an alias that was taken away.
            client.indices.put_alias(index=index, name=alias, body={"is_write_index": True})
        return {"done": f"{alias} now stands for {index}"}

    return str(Connection(url).call(put)["done"])
