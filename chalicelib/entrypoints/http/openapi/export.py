"""`python -m chalicelib.entrypoints.http.openapi.export >docs/openapi.json` writes the OpenAPI document."""

import json

import app
from chalicelib.entrypoints.http.openapi.document import openapi_json


def export() -> str:
    """The document with one line for each value, so that a difference is easy to read.

    `app` is imported because that registers the endpoints.
    """
    assert app.app.routes
    return json.dumps(json.loads(openapi_json()), indent=2, ensure_ascii=False)


if __name__ == "__main__":
    print(export())
