"""Put the index before the first document: `python -m chalicelib.adapters.opensearch.migrate`.

It may run any number of times, and twice at once. The index carries a version in its name and is
used through an alias only, so that a later version can be filled beside it and swapped in.
"""

from opensearchpy import OpenSearch
from opensearchpy.exceptions import RequestError

from chalicelib.adapters.opensearch.connection import Answer, Connection
from chalicelib.adapters.opensearch.mapping import ALIAS, MAPPINGS, VERSION, settings
from chalicelib.settings import Settings


def migrate(url: str, alias: str = ALIAS, shards: int = 1, replicas: int = 0) -> str:
    """Create index and alias in one step, unless the alias is there. Returns what was done.

    Raises `UnavailableError`, also where something else has the name of the alias.
    """
    index = f"{alias}-v{VERSION}"
    body = {
        "settings": settings(shards, replicas),
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


def main() -> None:
    """Migrate the index of the stage that the environment names."""
    print(migrate(Settings.from_env().need("opensearch_url")))


if __name__ == "__main__":
    main()
