"""The mapping and the settings of the index, and `migrate`, which creates it.

The body is stored once and indexed three times:

- `body`: whole words with their positions, for phrases and for relevance.
- `body.short`: every sequence of one or two characters.
- `body.parts`: every sequence of three characters, with its position. A longer part of a word is a series of
  these, so a part of any length is found in a word of any length.

The alternative was to index all suffixes of each word and search them with a prefix query. On 196,146 chat
lines, this is as fast and needs less space (40 MB instead of 53). But 2 MB of text without spaces became
206 MB, and text across the 255th character of a word was not found. The cost of a message must not depend on
where its spaces are. For the same reason there is an `ngram` tokenizer instead of the `ngram` filter: the
time of the filter grows with the square of a word's length (0.24 s for a word of 20,000 characters).

Accents and case are folded by the table in `domain/text.py`, before the text is split. Fields that nobody
searches are not indexed. Metadata is JSON text that OpenSearch does not read.
"""

from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import RequestError

from chalicelib.adapters.opensearch.index import ALIAS, PART_CHARS, Connection, Response
from chalicelib.domain.text import folds_beyond_case

VERSION = 1

_STORED_ONLY = {"type": "keyword", "index": False, "doc_values": False}

MAPPINGS: dict[str, Any] = {
    "dynamic": "strict",
    "_routing": {"required": True},
    "properties": {
        "token": {"type": "keyword"},
        "chat": {"type": "long"},
        "number": {"type": "long"},
        "deleted": {"type": "boolean"},
        "sender": {"type": "keyword"},
        "created_at": {"type": "date", "format": "strict_date_time"},
        "body": {
            "type": "text",
            "analyzer": "words",
            "norms": False,
            "fields": {
                "short": {
                    "type": "text",
                    "analyzer": "short",
                    "search_analyzer": "whole",
                    "index_options": "docs",
                    "norms": False,
                },
                "parts": {"type": "text", "analyzer": "parts", "norms": False},
            },
        },
        "original": _STORED_ONLY,
        "metadata": _STORED_ONLY,
        "revision": {"type": "long", "index": False, "doc_values": False},
        "edited_at": _STORED_ONLY,
    },
}


def settings(shards: int) -> dict[str, Any]:
    """The settings of the index. It has a replica if there is a second node."""
    return {
        "index": {"number_of_shards": shards, "auto_expand_replicas": "0-1"},
        "analysis": _analysis(),
    }


def _analysis() -> dict[str, Any]:
    folds = folds_beyond_case().items()
    mappings = [f"{_escaped(character)} => {_escaped(folded)}" for character, folded in folds]
    return {
        "char_filter": {
            "fold": {"type": "mapping", "mappings": mappings},
            "separators": {
                "type": "pattern_replace",
                "pattern": r"[^\p{L}\p{N}\p{M}]",
                "replacement": " ",
            },
        },
        "tokenizer": {
            "one_or_two": {"type": "ngram", "min_gram": 1, "max_gram": PART_CHARS - 1},
            "three": {"type": "ngram", "min_gram": PART_CHARS, "max_gram": PART_CHARS},
        },
        "analyzer": {
            "words": _analyzer("standard", "fold", "separators"),
            "short": _analyzer("one_or_two", "fold"),
            "whole": _analyzer("keyword", "fold"),
            "parts": _analyzer("three", "fold"),
        },
    }


def _analyzer(tokenizer: str, *char_filters: str) -> dict[str, Any]:
    return {"tokenizer": tokenizer, "char_filter": char_filters, "filter": ["lowercase"]}


def _escaped(text: str) -> str:
    """The text in `\\uXXXX` notation: in mapping rules, no character of it is syntax."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


def migrate(url: str, alias: str = ALIAS, shards: int = 1) -> str:
    """Create the index and its alias in one step, unless the alias exists. Returns what was done.

    It may run any number of times, and twice at the same time. The name of the index contains a version, and
    everything uses the alias, so that a later version can be filled beside it and swapped in. Raises
    `UnavailableError`, also if an index has the name of the alias.
    """
    index = f"{alias}-v{VERSION}"
    body = {
        "settings": settings(shards),
        "mappings": MAPPINGS,
        "aliases": {alias: {"is_write_index": True}},
    }

    def put(client: OpenSearch) -> Response:
        if client.indices.exists_alias(name=alias):
            return {"done": f"{alias} exists"}
        try:
            client.indices.create(index=index, body=body)
        except RequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            # Another migration was faster, or the alias of an older index was removed.
            client.indices.put_alias(index=index, name=alias, body={"is_write_index": True})
        return {"done": f"{alias} now points to {index}"}

    return str(Connection(url).call(put)["done"])
