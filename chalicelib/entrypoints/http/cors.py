"""CORS: whether pages of no other origin, of one origin, or of all origins may call the API.

Chalice responds to preflight requests through API Gateway, and adds the headers to the responses of views.
"""

from chalice import CORSConfig

from chalicelib.settings import Settings

# Headers beside those that a browser always allows.
ALLOWED_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match")
EXPOSED_HEADERS = (
    "ETag",
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Idempotency-Replayed",
)
# Longer than most browsers cache the response to a preflight request.
MAX_AGE_SECONDS = 24 * 3600


def cors_of(origin: str) -> CORSConfig | None:
    """Chalice's configuration; None if pages of no other origin may call the API."""
    if not origin:
        return None
    return CORSConfig(
        allow_origin=origin,
        allow_headers=ALLOWED_HEADERS,
        expose_headers=EXPOSED_HEADERS,
        max_age=MAX_AGE_SECONDS,
    )


def cors_headers(cors: CORSConfig | None) -> dict[str, str]:
    """The headers of every response."""
    headers: dict[str, str] = cors.get_access_control_headers() if cors else {}
    return headers


# Read at import, because a deployment imports app.py to configure API Gateway.
CORS = cors_of(Settings.from_env().cors_origin)
