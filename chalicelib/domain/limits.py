"""Sizes and times that users meet. The one place where they are written down."""

MAX_BODY_CHARS = 20_000
MAX_TITLE_CHARS = 255
MAX_NAME_CHARS = 255
MAX_SENDER_CHARS = 255
MAX_USER_CHARS = 255
MAX_METADATA_BYTES = 4_096
MAX_METADATA_DEPTH = 32
MAX_BATCH_MESSAGES = 500
MAX_IDEMPOTENCY_KEY_CHARS = 255
IDEMPOTENCY_KEY_KEPT_SECONDS = 24 * 3600
# How long the key before may stay valid when a key is replaced.
MAX_KEY_OVERLAP_SECONDS = 7 * 24 * 3600
# A user token cannot be called back alone, only with the key that signed it: so it must not live long.
MAX_USER_TOKEN_SECONDS = 30 * 24 * 3600
USER_TOKEN_LEEWAY_SECONDS = 10
MAX_USER_TOKEN_CHARS = 8_192

DEFAULT_PAGE_ITEMS = 50
MAX_PAGE_ITEMS = 100
MAX_QUERY_CHARS = 500

# Lambda takes and gives at most 6 MB, in which the body is a JSON string, so that each of its quotes takes
# two bytes: what is under 3 MB fits whatever it holds.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_REQUEST_BYTES = 3_000_000
MAX_ANSWER_BYTES = 3_000_000

# What an application and a user may ask for in a second, unless the settings say otherwise. Their buckets
# hold what flows back in `BURST_SECONDS`, and at least the largest batch.
APPLICATION_RATE = 20_000
USER_RATE = 50
BURST_SECONDS = 2

# Accepted and not yet persisted. A few minutes of what the workers can take; ten times what a chat has
# pending in an import at full speed; an entry takes about half a kilobyte beside its body.
MAX_PENDING_OF_CHAT = 20_000
MAX_PENDING_OF_APPLICATION = 200_000

# A number travels through Lua and JSON as a double: beyond 2**53 neighbours would melt together.
MAX_NUMBER = 2**53 - 1

# 1 MiB is what SQS takes; the rest is room for the record around the messages.
MAX_RECORD_BYTES = 1_000_000
