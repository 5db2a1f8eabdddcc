"""`python -m infra.describe >docs/openapi.json`: the API, as its doors declare it."""

import json

import app
from chalicelib.entrypoints.http.openapi.document import openapi_json

if __name__ == "__main__":
    assert app.app.routes  # importing it registers the doors
    print(json.dumps(json.loads(openapi_json()), indent=2, ensure_ascii=False))
