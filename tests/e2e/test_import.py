"""Real chat logs are imported into the deployed stack, counted, and searched.

A plain scan of the files gives the expected results. The logs are not a part of the repository:
`ORDINAL_TEST_IRC_LOGS` names a folder of day files (`2004-12-25.txt`). Without it the tests are skipped.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from chalicelib.domain.search import Query, parse_query
from chatctl.sources.irc import NO_TEXT
from tests.e2e.conftest import ROOT, STACK_FILE, Application, Stack, in_parallel, wait_until
from tests.e2e.search_oracle import Line, SearchOracle

LOGS = Path(os.environ.get("ORDINAL_TEST_IRC_LOGS", ROOT.parent / "shared/data/ubuntu-irc"))
LINE = re.compile(rb"\[(\d\d:\d\d)\] <([^>]*)> ?(.*)", re.DOTALL)
INDEXED_WITHIN_SECONDS = 600

pytestmark = [
    pytest.mark.skipif(not LOGS.is_dir(), reason="no IRC logs: set ORDINAL_TEST_IRC_LOGS"),
    pytest.mark.timeout(1200),
]


def day_files() -> list[Path]:
    return sorted(LOGS.glob("[0-9]*.txt"))


def text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def plain_scan(path: Path, chat: int) -> list[Line]:
    """The messages of a day, numbered from 1. A message without text has `NO_TEXT` as its body."""
    matches = [
        m for raw in path.read_bytes().split(b"\n") if (m := LINE.fullmatch(raw.rstrip(b"\r")))
    ]
    return [
        Line(
            chat,
            number,
            text(m[2]),
            text(m[3]) if text(m[3]).strip() else NO_TEXT,
            f"{path.stem}T{m[1].decode()}:00.000Z",
        )
        for number, m in enumerate(matches, 1)
    ]


def command(application: Application, *paths: Path) -> list[str]:
    head = [sys.executable, "-m", "chatctl", "import", "--stack-file", str(STACK_FILE)]
    return [*head, "--application", application.token, "--key", application.key, *map(str, paths)]


def run_import(application: Application, *paths: Path) -> str:
    done = subprocess.run(
        command(application, *paths), cwd=ROOT, capture_output=True, text=True, timeout=1100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Imported:
    """An application that holds all logs, and the lines that a plain scan of the files finds."""

    def __init__(self, stack: Stack, application: Application) -> None:
        self.application = application
        self.opensearch: str = stack.file["opensearch"]["url"]
        started = time.monotonic()
        self.summary = run_import(application, LOGS)
        self.seconds = time.monotonic() - started
        self.chats = {c["title"]: c for c in application.all(f"{application.path}/chats?limit=100")}
        self.lines = [
            line
            for path in day_files()
            for line in plain_scan(path, self.chats[path.stem]["number"])
        ]
        self.oracle = SearchOracle(self.lines)
        wait_until("the index", lambda: self.indexed() == len(self.lines), INDEXED_WITHIN_SECONDS)

    def indexed(self) -> int:
        body = {"query": {"term": {"token": self.application.token}}}
        httpx.post(f"{self.opensearch}/messages/_refresh", timeout=60)
        response = httpx.post(f"{self.opensearch}/messages/_count", json=body, timeout=60)
        return int(response.json()["count"])

    def search(self, **parameters: str) -> list[tuple[int, int]]:
        """(chat, number) of everything that a search finds, on all its pages."""
        query = urlencode({"q": "", "limit": "100", "sort": "number", **parameters})
        hits = self.application.all(f"{self.application.path}/search?{query}")
        return [(h["chat"], h["number"]) for h in hits]


@pytest.fixture(scope="module")
def imported(stack: Stack) -> Iterator[Imported]:
    application = stack.new_application("irc")
    yield Imported(stack, application)
    application.close()


def test_every_line_has_its_number_in_its_chat(imported: Imported) -> None:
    print(
        f"imported {len(imported.lines)} messages in {imported.seconds:.0f} s\n{imported.summary}"
    )
    application = imported.application
    expected: dict[int, list[Line]] = {}
    for line in imported.lines:
        expected.setdefault(line.chat, []).append(line)
    assert len(expected) == len(day_files())

    def check(chat: int) -> None:
        path = f"{application.path}/chats/{chat}"
        detail = application.get(path)
        assert detail["messages_count"] == detail["last_message_number"] == len(expected[chat])
        assert detail["skipped"] == []
        stored = application.all(f"{path}/messages?after=0&limit=100")
        lines = [Line(chat, m["number"], m["sender"], m["body"], m["created_at"]) for m in stored]
        assert lines == expected[chat]

    in_parallel(4, lambda i: check(sorted(expected)[i]), range(len(expected)))


def test_a_second_import_adds_nothing(imported: Imported) -> None:
    run_import(imported.application, LOGS)
    chats = imported.application.all(f"{imported.application.path}/chats?limit=100")
    assert [c["title"] for c in chats] == list(imported.chats)
    assert sum(c["last_message_number"] for c in chats) == len(imported.lines)
    assert imported.indexed() == len(imported.lines)


def test_an_import_that_was_killed_is_finished_by_the_next_run(
    application: Application,
) -> None:
    files = day_files()[:60]
    with subprocess.Popen(
        command(application, *files), cwd=ROOT, stdout=subprocess.DEVNULL
    ) as first:
        wait_until("the first message", lambda: accepted(application, 1) > 0)
        first.send_signal(signal.SIGKILL)
    lines = {path.stem: plain_scan(path, 0) for path in files}
    accepted_before = sum(accepted(application, chat + 1) for chat in range(len(files)))
    assert 0 < accepted_before < sum(map(len, lines.values()))
    run_import(application, *files)
    chats = application.all(f"{application.path}/chats?limit=100")
    assert sorted(c["title"] for c in chats) == [f.stem for f in files]
    for chat in chats:
        expected = lines[chat["title"]]
        path = f"{application.path}/chats/{chat['number']}"
        wait_for_count(application, path, len(expected))
        stored = application.all(f"{path}/messages?after=0&limit=100")
        assert [(m["number"], m["body"]) for m in stored] == [
            (line.number, line.body) for line in expected
        ]


def wait_for_count(application: Application, chat: str, count: int) -> None:
    wait_until(chat, lambda: application.get(chat)["messages_count"] == count)


def accepted(application: Application, chat: int) -> int:
    """The newest number of a chat, also if it is pending. 0 if the chat has no messages."""
    response = application("GET", f"{application.path}/chats/{chat}/messages?limit=1")
    items = response.json()["items"] if response.status_code == 200 else []
    return int(items[0]["number"]) if items else 0


def random_words(lines: list[Line], pattern: str) -> list[str]:
    """Ten words of the logs, the same in every run."""
    words = sorted(
        {w for line in lines for w in re.findall(pattern, line.body.lower()) if w.isascii()}
    )
    return random.Random(4).sample(words, 10)


def searches(lines: list[Line]) -> dict[str, list[dict[str, str]]]:
    """Ten searches of each kind."""
    draw = random.Random(4)
    long_lines = [line for line in lines if len(re.findall(r"\b[a-z]{4,9}\b", line.body)) > 8]
    drawn = [re.findall(r"\b[a-z]{4,9}\b", line.body) for line in draw.sample(long_lines, 20)]
    twelve = random_words(lines, r"(?<![\w])[a-z]{12}(?![\w])")
    accents = sorted(
        {
            w
            for line in lines
            for w in re.findall(r"\b[a-zà-ÿ]{4,}\b", line.body.lower())
            if not w.isascii()
        }
    )
    days = draw.sample(sorted({line.created_at[:10] for line in lines}), 10)
    return {
        "a word of 12 letters": [{"q": w} for w in twelve],
        "a part from the middle": [{"q": w[3:8]} for w in random_words(lines, r"[a-z]{11}")],
        "a part of over ten characters": [
            {"q": w[2:13]} for w in random_words(lines, r"[a-z]{14,}")
        ],
        "two words far apart": [{"q": f"{w[-1]} {w[0]}"} for w in drawn[:10]],
        "a quoted phrase": [{"q": f'"{" ".join(w)}"'} for w in phrases(lines)],
        "one or two letters": [
            {"q": q, "from": f"{d}T00:00:00Z", "to": f"{d}T12:00:00Z"}
            for q, d in zip(
                ["q", "z", "ü", "x", "7", "qu", "zz", "ök", "1.", "c+"], days, strict=True
            )
        ],
        "case and accents": [{"q": w.upper()} for w in draw.sample(accents, 10)],
        "a nick as sender": [
            {"q": "e", "sender": s}
            for s in draw.sample(sorted({line.sender or "" for line in lines}), 10)
        ],
        "from and to": [
            {"q": "the", "from": f"{d}T08:00:00Z", "to": f"{d}T20:30:00Z"} for d in days
        ],
    }


def phrases(lines: list[Line]) -> list[list[str]]:
    """Three plain words that follow each other in some line."""
    draw = random.Random(5)
    runs = [
        m for line in lines for m in re.findall(r"\b[a-z]{2,9} [a-z]{2,9} [a-z]{2,9}\b", line.body)
    ]
    return [run.split() for run in draw.sample(runs, 10)]


def test_searches_find_what_a_plain_scan_finds(imported: Imported) -> None:
    rows, wrong = [], []
    for kind, ten in searches(imported.lines).items():
        wanted = hits = missed = false = 0
        for parameters in ten:
            want = set(imported.oracle.find(as_query(parameters)))
            got = imported.search(**parameters)
            assert len(got) == len(set(got)), parameters
            wanted, hits = wanted + len(want), hits + len(got)
            missed, false = missed + len(want - set(got)), false + len(set(got) - want)
            if want != set(got):
                wrong.append((parameters, sorted(want ^ set(got))[:5]))
        rows.append(f"{kind:32} {wanted:7} {hits:7} {missed:6} {false:6}")
    table = "\n".join([f"{'kind':32} {'wanted':>7} {'hits':>7} {'missed':>6} {'false':>6}", *rows])
    print(table)
    (ROOT / "var" / "search-recall.txt").write_text(table + "\n")
    assert not wrong, f"{table}\n{wrong}"


def as_query(parameters: dict[str, str]) -> Query:
    def timestamp(name: str) -> str | None:
        return parameters[name].replace("Z", ".000Z") if name in parameters else None

    return Query(
        token="",
        chat=None,
        terms=parse_query(parameters["q"]),
        sender=parameters.get("sender"),
        created_from=timestamp("from"),
        created_to=timestamp("to"),
        limit=100,
    )


def test_an_export_imported_again_is_the_same(
    stack: Stack, imported: Imported, tmp_path: Path
) -> None:
    source, copy = imported.application, stack.new_application("copy")
    chat = next(iter(imported.chats.values()))["number"]
    out = tmp_path / "export.ndjson"
    head = [sys.executable, "-m", "chatctl", "export", "--stack-file", str(STACK_FILE)]
    options = [
        "--application",
        source.token,
        "--key",
        source.key,
        "--chat",
        str(chat),
        "-o",
        str(out),
    ]
    subprocess.run([*head, *options], cwd=ROOT, check=True, capture_output=True, timeout=300)
    assert all(json.loads(line) for line in out.read_text().splitlines())
    subprocess.run(command(copy, out), cwd=ROOT, check=True, capture_output=True, timeout=300)
    assert contents(copy, 1) == contents(source, chat)
    copy.close()


def contents(api: Application, chat: int) -> list[Any]:
    stored = api.all(f"{api.path}/chats/{chat}/messages?after=0&limit=100")
    return [(m["number"], m["body"], m["sender"], m["created_at"]) for m in stored]
