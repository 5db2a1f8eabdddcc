"""The index's mapping and settings, and putting the index before the first document."""

from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import RequestError

from chalicelib.adapters.opensearch.connection import Answer, Connection
from chalicelib.domain.text import folds_beyond_case

# How messages lie in OpenSearch.
#
# The body is indexed three times and stored once:
#
# - `body`: whole words with their positions, for phrases and for relevance.
# - `body.short`: every one and two characters that stand beside each other.
# - `body.parts`: every three characters that follow each other, with their positions. A longer part
#   of a word is these in a row, so a part of any length is found, in a word of any length.
#
# All suffixes of each word, with a prefix query, were tried beside this. On 196,146 chat lines they
# answer as fast and take less room (40 MB against 53), but 2 MB of text without spaces became 206 MB,
# and what lies across the 255th character of a word was not found. The price of a message must not
# hang on where its spaces are. For the same reason the pieces come from an `ngram` tokenizer: the
# `ngram` filter needs time by the square of a word's length (0.24 s for one of 20,000 characters).
#
# Accents and case go by the table in `domain/folding.py`, before anything is cut into pieces.
# What is not searched is not indexed; metadata is JSON text that OpenSearch never looks into.

VERSION = 1
ALIAS = "messages"
PART_CHARS = 3

_KEPT_ONLY = {"type": "keyword", "index": False, "doc_values": False}

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
        "original": _KEPT_ONLY,
        "metadata": _KEPT_ONLY,
        "revision": {"type": "long", "index": False, "doc_values": False},
        "edited_at": _KEPT_ONLY,
    },
}


def settings(shards: int) -> dict[str, Any]:
    """Index settings. Where there is a second node, there is a copy."""
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
    """The notation of OpenSearch's mapping rules, in which no sign can be taken for syntax."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


# Put the index before the first document.
#
# It may run any number of times, and twice at once. The index carries a version in its name and is
# used through an alias only, so that a later version can be filled beside it and swapped in.


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
