"""The page that shows the OpenAPI document, and its content security policy."""

import hashlib
import re
from base64 import b64encode
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("docs_page.html")


@cache
def docs_page() -> tuple[str, dict[str, str]]:
    """The page and its headers. It runs only its own script and style, and calls only its own origin."""
    page = _FILE.read_text(encoding="utf-8")
    policy = (
        "default-src 'none'",
        f"style-src {_hash_of('style', page)}",
        f"script-src {_hash_of('script', page)}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
    return page, {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(policy),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _hash_of(tag: str, page: str) -> str:
    """The hash with which a policy names the page's only element of this kind."""
    [text] = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
