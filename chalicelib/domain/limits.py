"""Sizes, times and rates that clients meet. `docs/limits.md` lists them, and a test compares the two."""

MAX_BODY_CHARS = 20_000
MAX_TITLE_CHARS = 255
MAX_NAME_CHARS = 255
MAX_SENDER_CHARS = 255
MAX_USER_CHARS = 255
MAX_METADATA_BYTES = 4_096
MAX_METADATA_DEPTH = 32
MAX_BATCH_MESSAGES = 500
MAX_IDEMPOTENCY_KEY_CHARS = 255
IDEMPOTENCY_KEY_LIFETIME_SECONDS = 24 * 3600
# How long the previous key may stay valid after a rotation.
MAX_KEY_OVERLAP_SECONDS = 7 * 24 * 3600
# A single user token cannot be revoked, only the key that signed it. So its life is limited.
MAX_USER_TOKEN_SECONDS = 30 * 24 * 3600
USER_TOKEN_LEEWAY_SECONDS = 10
MAX_USER_TOKEN_CHARS = 8_192

DEFAULT_PAGE_ITEMS = 50
MAX_PAGE_ITEMS = 100
MAX_QUERY_CHARS = 500
# CPU time for the highlights of one response: ten times what the largest ordinary page takes.
MAX_HIGHLIGHT_CPU_MS = 250

# Requests and responses of Lambda have at most 6 MB. They contain the body as a JSON string, in which each
# quote takes two bytes. So a body of less than 3 MB always fits.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_REQUEST_BYTES = 3_000_000
MAX_RESPONSE_BYTES = 3_000_000

# Requests (and messages) a second for an application and for a user, unless the settings say otherwise. A
# bucket holds what refills in `BURST_SECONDS`, and at least the largest request. A large message counts as
# one request for each `RATE_UNIT_BYTES`. docs/scaling.md says why.
APPLICATION_RATE = 2_000
USER_RATE = 50
BURST_SECONDS = 2
# A search works on many messages. Each of its terms adds one, and each ten hits of its `limit`.
SEARCH_COST_OF_CHAT = 10
SEARCH_COST_OF_APPLICATION = 20
# Its messages leave the index twice, and MySQL little by little.
DELETION_COST_OF_CHAT = 10
RATE_UNIT_BYTES = 4_096

# The memory of the Redis server: how much of it an application may have for what is pending, and as much
# again for what is stored for a day; and how much of the latter one of its users may have.
MAX_MEMORY_PERCENT_OF_APPLICATION = 25
MAX_MEMORY_PERCENT_OF_USER = 1
# The memory of a server that has no limit.
ASSUMED_MEMORY_BYTES = 4_000_000_000

# Pending versions. This is what the workers persist in a few minutes, and ten times what a chat has pending
# during an import at full speed. An entry takes about half a kilobyte and its body.
MAX_PENDING_OF_CHAT = 20_000
MAX_PENDING_OF_APPLICATION = 200_000

# In Lua and JSON, a number is a double: above 2**53, neighbouring numbers are not distinct.
MAX_NUMBER = 2**53 - 1

# SQS accepts 1 MiB. The rest is room for the fields of the record around the messages.
MAX_RECORD_BYTES = 1_000_000
