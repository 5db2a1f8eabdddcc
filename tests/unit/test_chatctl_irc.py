"""IRC logs as sources. The lines are made up."""

from pathlib import Path

import pytest

from chatctl.sources.irc import NO_TEXT, decode, is_day_file, parse_line, scan_day

DAY = "2004-12-25"
NOW = "2026-01-01T00:00:00.000Z"


def test_a_line_with_a_nick_is_a_message_of_that_minute() -> None:
    assert parse_line("[09:05] <ann> good  morning", DAY) == {
        "body": "good  morning",
        "sender": "ann",
        "metadata": None,
        "created_at": "2004-12-25T09:05:00Z",
    }


def test_a_line_with_a_star_is_an_action() -> None:
    parsed = parse_line("[23:59] * bob_ waves", DAY)
    assert isinstance(parsed, dict)
    assert (parsed["sender"], parsed["body"]) == ("bob_", "waves")
    assert parsed["metadata"] == {"action": True}


@pytest.mark.parametrize("line", ["[09:05] <ann>", "[09:05] <ann> ", "[09:05] <ann>  \t"])
def test_a_message_without_text_has_its_own_number(line: str) -> None:
    parsed = parse_line(line, DAY)
    assert isinstance(parsed, dict)
    assert (parsed["body"], parsed["metadata"]) == (NO_TEXT, {"empty": True})


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("=== ann [~ann@example.org] has joined #chat", "system"),
        ("[09:05] -bob:#chat- hello all", "notice"),
        ("[09:05]  * ann waves", "indented action"),
        ("[09:05] (ann/#chat) hello", "other"),
        ("[24:05] <ann> hello", "other"),
        ("[٠٩:٠٥] <ann> hello", "other"),
        ("hello", "other"),
        ("  ", "empty"),
    ],
)
def test_other_lines_are_skipped_and_named_by_kind(line: str, kind: str) -> None:
    assert parse_line(line, DAY) == kind


def test_a_line_that_is_not_utf8_is_read_as_latin1() -> None:
    assert decode("é".encode() + b"\r\n") == "é"
    assert decode(b"caf\xe9 \xff\n") == "café ÿ"


def test_only_days_are_day_files() -> None:
    names = ["2004-12-25.txt", "2004-13-25.txt", "20041225.txt", "LICENSE.txt", "2004-12-25.md"]
    assert [is_day_file(Path(name)) for name in names] == [True, False, False, False, False]


def test_control_characters_do_not_end_a_line(tmp_path: Path) -> None:
    log = tmp_path / "2004-12-25.txt"
    log.write_bytes(
        b"[01:00] <ann> a\x0bb\x1cc\x85d\n=== x\n[01:01] * bob sits\n[01:01] <cy> \xe2\x80\xa8!"
    )
    sources = scan_day(log, NOW, skip_broken=False)
    (source,) = sources.sources
    assert (source.title, source.metadata) == ("2004-12-25", {"source": "2004-12-25.txt"})
    assert [m.body for m in source.read()] == ["a\x0bb\x1cc\x85d", "sits", "\u2028!"]
    assert source.count == 3
    assert sources.skipped == {"system": 1}


def test_a_line_that_the_api_would_refuse_ends_the_file_with_its_number(tmp_path: Path) -> None:
    log = tmp_path / "2004-12-25.txt"
    log.write_text(f"[01:00] <ann> one\n[01:00] <{'x' * 256}> two\n[01:00] <ann> three\n")
    sources = scan_day(log, NOW, skip_broken=False)
    assert len(sources.errors) == 1
    assert f"{log}, line 2: " in sources.errors[0]
    assert [m.body for m in sources.sources[0].read()] == ["one"]
    assert sources.sources[0].truncated


def test_broken_lines_can_be_skipped_and_are_counted(tmp_path: Path) -> None:
    log = tmp_path / "2004-12-25.txt"
    log.write_text(f"[01:00] <ann> one\n[01:00] <{'x' * 256}> two\n[01:00] <ann> three\n")
    sources = scan_day(log, NOW, skip_broken=True)
    assert [m.body for m in sources.sources[0].read()] == ["one", "three"]
    assert (sources.errors, sources.skipped["broken"]) == ([], 1)


def test_a_day_in_the_future_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    log = tmp_path / "2030-01-01.txt"
    log.write_text("[01:00] <ann> one\n")
    assert "must not be in the future" in scan_day(log, NOW, skip_broken=False).errors[0]
