"""What an answer says of the limits: `RateLimit-Policy` and `RateLimit`.

As in draft-ietf-httpapi-ratelimit-headers-10. The window is the time in which an empty bucket fills.
"""

import math
from collections.abc import Sequence

from chalicelib.domain.rates import Left


def rate_headers(left: Sequence[Left]) -> dict[str, str]:
    """The narrowest bucket: its size and the seconds in which it fills, what is left, and when it is full.

    So a user learns nothing of what others of the application do.
    """
    if not left:
        return {}
    last = left[-1]
    bucket = last.bucket
    window = math.ceil(bucket.size / bucket.rate)
    return {
        "RateLimit-Policy": f'"{bucket.name}";q={bucket.size};w={window}',
        "RateLimit": f'"{bucket.name}";r={last.left};t={math.ceil(last.full_in_ms / 1000)}',
    }
