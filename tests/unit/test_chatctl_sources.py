"""NDJSON as sources, and which files an import reads."""

from pathlib import Path

import click
import pytest

from chatctl.sources.files import find_sources
from chatctl.sources.ndjson import scan_ndjson

NOW = "2026-01-01T00:00:00.000Z"


def ndjson(tmp_path: Path, *lines: str) -> Path:
    file = tmp_path / "chats.ndjson"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_every_chat_of_a_file_is_a_source_in_the_order_of_its_lines(tmp_path: Path) -> None:
    file = ndjson(
        tmp_path,
        '{"chat": "b", "body": "1", "sender": "ann"}',
        '{"chat": "7", "body": "2", "metadata": {"k": [1]}}',
        "",
        '{"chat": "b", "body": "3", "created_at": "2020-01-01T00:00:00+01:00"}',
    )
    sources = scan_ndjson(file, NOW, skip_broken=False)
    bodies = {s.title: [m.body for m in s.read()] for s in sources.sources}
    assert bodies == {"b": ["1", "3"], "7": ["2"]}
    assert [s.count for s in sources.sources] == [2, 1]
    assert sources.skipped == {"empty": 1}


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("{", "truncated"),
        ('{"body": "x"}', "missing required field `chat`"),
        ('{"chat": 7, "body": "x"}', "Expected `str`"),
        ('{"chat": "c", "body": "x", "boddy": "y"}', "unknown field `boddy`"),
        ('{"chat": "c", "body": " "}', "must not be blank"),
        ('{"chat": " ", "body": "x"}', "must not be blank"),
        ('{"chat": "c", "body": "x", "created_at": "2020-01-01T00:00:00"}', "RFC 3339"),
        ('{"chat": "c", "body": "\\ud800"}', "truncated"),
    ],
)
def test_a_broken_line_ends_all_chats_of_the_file(tmp_path: Path, line: str, rule: str) -> None:
    good = '{"chat": "c", "body": "good"}'
    file = ndjson(tmp_path, good, line, good)
    sources = scan_ndjson(file, NOW, skip_broken=False)
    assert sources.errors[0].startswith(f"{file}, line 2: ")
    assert rule.lower() in sources.errors[0].lower()
    assert [(s.count, s.truncated) for s in sources.sources] == [(1, True)]
    skipping = scan_ndjson(file, NOW, skip_broken=True)
    assert [(s.count, s.truncated) for s in skipping.sources] == [(2, False)]
    assert skipping.skipped == {"broken": 1}


def test_bytes_that_are_not_utf8_are_a_broken_line_of_ndjson(tmp_path: Path) -> None:
    file = tmp_path / "chats.ndjson"
    file.write_bytes(b'{"chat": "c", "body": "caf\xe9"}\n')
    assert "line 1: " in scan_ndjson(file, NOW, skip_broken=False).errors[0]


def test_a_directory_stands_for_its_files_with_matching_names(tmp_path: Path) -> None:
    (tmp_path / "LICENSE.txt").write_text("[01:00] <ann> free")
    (tmp_path / "2020-01-02.txt").write_text("[01:00] <ann> two")
    (tmp_path / "2020-01-01.txt").write_text("[01:00] <ann> one")
    ndjson(tmp_path, '{"chat": "c", "body": "x"}')
    everything = find_sources([tmp_path], None, NOW, False)
    assert [s.title for s in everything.sources] == ["2020-01-01", "2020-01-02", "c"]
    assert everything.skipped == {"file (by its name)": 1}
    assert [s.title for s in find_sources([tmp_path], "ndjson", NOW, False).sources] == ["c"]


def test_a_file_of_another_name_is_read_if_the_format_is_named(tmp_path: Path) -> None:
    file = tmp_path / "dump"
    file.write_text('{"chat": "c", "body": "x"}')
    with pytest.raises(click.UsageError, match="neither"):
        find_sources([file], None, NOW, False)
    assert find_sources([file], "ndjson", NOW, False).sources[0].count == 1


def test_two_files_for_one_chat_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "2020-01-01.txt").write_text("[01:00] <ann> one")
    with pytest.raises(click.UsageError, match="2020-01-01"):
        find_sources([tmp_path / "a", tmp_path / "b"], None, NOW, False)
