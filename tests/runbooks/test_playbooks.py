"""Markdown playbooks: shown where they match, as they are; a mistake is named."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbooks.playbook import matching, read_playbook, read_playbooks
from runbooks.preflight import playbooks_for
from watchkeeper.errors import RunbookError
from watchkeeper.vocabulary import Diagnosis, Suspect

AT = datetime(2026, 3, 1, tzinfo=UTC)


def diagnosis(service: str, mechanism: str, *, abstained: bool = False) -> Diagnosis:
    suspect = Suspect(service=service, score=3.0, probability=0.8, mechanism=mechanism)  # type: ignore[arg-type]
    return Diagnosis(
        onset=AT, made_at=AT, suspects=(suspect,), abstained=abstained, reason="because", engine_version="1"
    )


@pytest.mark.parametrize(
    ("text", "fits", "fits_not"),
    [
        ("---\nmechanisms: [hung]\n---\n# x\n", [("cart", "hung")], [("cart", "cpu")]),
        ("---\nservices: ['pay*']\n---\n# hung\n", [("payments", "cpu")], [("cart", "hung")]),
        ("---\nservices: [cart]\nmechanisms: [cpu]\nowner: ana\n---\n", [("cart", "cpu")], [("cart", "hung")]),
        ("# When cart is slow\n\nhung\n", [("cart", "cpu")], [("web", "hung"), ("web", "cpu")]),
        ("# Out of memory\n", [("web", "memory")], [("web", "cpu")]),
        ("# Cart: memory\n", [("cart", "memory")], [("cart", "cpu")]),
        ("no heading about cart or memory\n", [], [("cart", "memory")]),
        ("# Causes unknown\n", [], [("cart", "unknown")]),
    ],
)
def test_it_matches_by_front_matter_or_heading(
    tmp_path: Path, text: str, fits: list[tuple[str, str]], fits_not: list[tuple[str, str]]
) -> None:
    """Front matter decides where there is one; else a heading that names the service or the mechanism."""
    path = tmp_path / "p.md"
    path.write_text(text)
    playbook = read_playbook(path)
    assert all(playbook.matches(*trouble) for trouble in fits)
    assert not any(playbook.matches(*trouble) for trouble in fits_not)


def test_it_is_shown_as_it_is(tmp_path: Path) -> None:
    """Without its front matter; the file's own title, or its first heading, stands above it."""
    (tmp_path / "a.md").write_text("---\ntitle: Full disk\nmechanisms: [hung]\n---\n# One\n\n1. look\n<script>\n")
    (tmp_path / "b.md").write_text("# Hung processes #\n")
    (tmp_path / "README.md").write_text("# hung\n")
    shown = playbooks_for(tmp_path, diagnosis("cart", "hung"), "web")
    assert [one.title for one in shown] == ["Full disk", "Hung processes"]
    assert shown[0].text == "# One\n\n1. look\n<script>\n"
    assert playbooks_for(tmp_path, diagnosis("cart", "hung", abstained=True), "web") == ()
    assert playbooks_for(None, diagnosis("cart", "hung"), "web") == ()


def test_without_a_diagnosis_the_service_decides(tmp_path: Path) -> None:
    """An incident that nobody explained still shows what is written about its service."""
    (tmp_path / "a.md").write_text("# cart\n")
    assert len(matching(read_playbooks(tmp_path), None, "cart")) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"---\nmechanisms: [slowness]\n---\n", ":2: mechanisms.0: "),
        (b"---\na: [\n---\n", ": the front matter is not YAML: "),
        (b"---\n- a\n---\n", ":2: file: must hold keys and values"),
        (b"---\na: 2026-13-45\nmechanisms: [killed, 3]\n---\n", ":3: mechanisms.1: "),
        (b"---\na: !!int x\n---\n", ":2: the front matter is not YAML: this cannot be read as int"),
        (b"---\na: " + 2000 * b"[" + b"\n---\n", ":1: is nested too deeply"),
        (b"---\na: \x00\n---\n", ":2: holds the character U+0000"),
        (b"---\na: &a [*a]\n---\n", ":2: an anchor holds itself"),
        (b"# \xff\n", ": is not UTF-8 text"),
        (b"#" * (300 << 10), ": is larger than 256 KiB"),
    ],
)
def test_a_mistake_is_named_and_shows_nothing(tmp_path: Path, content: bytes, says: str) -> None:
    """`validate` says which file; a page about an incident goes without."""
    path = tmp_path / "bad.md"
    path.write_bytes(content)
    with pytest.raises(RunbookError) as refused:
        read_playbooks(tmp_path)
    assert str(path) in refused.value.message
    assert says in refused.value.message
    assert playbooks_for(tmp_path, diagnosis("cart", "hung"), "cart") == ()
