"""Which pages of other origins a browser lets call the API (CORS): none, those of one origin, or all.

Chalice answers preflight requests through API Gateway, and adds the headers to what views answer.
"""

from chalice import CORSConfig

from chalicelib.settings import Settings

# What clients send and read, beside what browsers let pass anyhow.
TAKEN = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match")
GIVEN = (
    "ETag",
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Idempotency-Replayed",
)
# Longer than most browsers keep the answer to a preflight request.
MAX_AGE_SECONDS = 24 * 3600


def cors_of(origin: str) -> CORSConfig | None:
    """Chalice's words for it; None where no other origin is let in."""
    if not origin:
        return None
    return CORSConfig(
        allow_origin=origin, allow_headers=TAKEN, expose_headers=GIVEN, max_age=MAX_AGE_SECONDS
    )


def cors_headers(cors: CORSConfig | None) -> dict[str, str]:
    """The headers of every answer."""
    headers: dict[str, str] = cors.get_access_control_headers() if cors else {}
    return headers


# API Gateway is told when app.py is imported for a deployment, so this is read then.
CORS = cors_of(Settings.from_env().cors_origin)
