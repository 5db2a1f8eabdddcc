"""One example of each body that the API takes and gives, for its documentation. A test checks them."""

from typing import Any

from chalicelib.domain.requests import (
    ApplicationRequest,
    BatchRequest,
    ChatChange,
    ChatRequest,
    KeyRequest,
    MarkerRequest,
    MessageChange,
    MessageRequest,
)
from chalicelib.entrypoints.http.views import (
    ApplicationView,
    BatchView,
    ChangesView,
    ChatReadingView,
    ChatView,
    DeletedView,
    FoundView,
    HealthView,
    ListView,
    MessageView,
    NewApplicationView,
    NewKeyView,
    OneChatView,
    ReadinessView,
    ReadingView,
)

_PATH = "/applications/5f0c1d9a3be84f27a6c2e1907d4b58"
_APPLICATION = {
    "token": _PATH.rpartition("/")[2],
    "name": "demo",
    "chats_count": 3,
    "created_at": "2026-01-31T12:00:00.000Z",
}
_CHAT = {
    "number": 7,
    "title": "Support",
    "metadata": {"ticket": 4711},
    "messages_count": 41,
    "last_message_number": 42,
    "revision": 4294967303,
    "created_at": "2026-01-31T12:00:00.000Z",
    "edited_at": None,
}
_MESSAGE = {
    "number": 42,
    "body": "Good morning",
    "sender": "ann",
    "metadata": None,
    "revision": 4294967338,
    "created_at": "2026-01-31T12:00:00.000Z",
    "edited_at": None,
}
_READING = {"chat": 7, "number": 40, "unread": 1, "last_message_number": 42}

EXAMPLES: dict[Any, dict[str, Any]] = {
    ApplicationRequest: {"name": "demo"},
    ChatRequest: {"title": "Support", "metadata": {"ticket": 4711}},
    ChatChange: {"title": "Support, closed"},
    KeyRequest: {"overlap_seconds": 3600},
    MessageRequest: {"body": "Good morning", "sender": "ann"},
    MessageChange: {"body": "Good evening"},
    BatchRequest: {"messages": [{"body": "Good morning", "sender": "ann"}, {"body": "Hello"}]},
    ApplicationView: _APPLICATION,
    NewApplicationView: _APPLICATION
    | {"secret_key": "ok_1_kXr0uJw3mZl8QfVb1nTg5sHyDa2cPe7oWi4jLtM9RxU"},
    NewKeyView: {
        "secret_key": "ok_2_Zs8mWq1yTg4bNc7vXe0hLkRd5uJfPa3iOt6wBn9MrHQ",
        "key_version": 2,
        "previous_valid_until": "2026-01-31T13:00:00.000Z",
    },
    ListView[ApplicationView]: {"items": [_APPLICATION], "next": None},
    ChatView: _CHAT,
    OneChatView: _CHAT | {"skipped": [{"from": 12, "to": 12}]},
    ListView[ChatView]: {"items": [_CHAT], "next": f"{_PATH}/chats?before=7"},
    MessageView: _MESSAGE,
    ListView[MessageView]: {
        "items": [_MESSAGE],
        "next": f"{_PATH}/chats/7/messages?before=42",
    },
    ChangesView: {
        "items": [
            {"type": "created", "number": 42, "revision": 4294967338, "message": _MESSAGE},
            {"type": "deleted", "number": 40, "revision": 4294967339, "message": None},
        ],
        "since": "57.40",
        "next": None,
    },
    BatchView: {"first": 43, "last": 44},
    DeletedView: {"number": 42, "revision": 4294967339},
    MarkerRequest: {"number": 40},
    ReadingView: _READING | {"user": "ann"},
    ListView[ChatReadingView]: {"items": [_READING], "next": f"{_PATH}/readers/ann?before=7"},
    FoundView: {
        "items": [_MESSAGE | {"chat": 7, "highlight": "Good <em>morn</em>ing"}],
        "total": 1,
        "next": None,
    },
    HealthView: {"status": "ok"},
    ReadinessView: {
        "status": "ok",
        "parts": {"redis": "ok", "mysql": "ok", "sqs": "ok", "opensearch": "ok"},
    },
}
