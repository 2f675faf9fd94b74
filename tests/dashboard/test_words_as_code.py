"""What stands between backticks in a message is shown as code."""

from __future__ import annotations

import pytest
from dash import html

from dashboard.components.elements import empty, note, trouble, with_code


def test_a_sentence_keeps_its_words_and_loses_its_backticks() -> None:
    """The same words, in their order."""
    parts = with_code("run `watchkeeper up`, then `x`")
    assert [(type(part), getattr(part, "children", part)) for part in parts] == [
        (str, "run "),
        (html.Code, "watchkeeper up"),
        (str, ", then "),
        (html.Code, "x"),
    ]


@pytest.mark.parametrize("text", ["", "plain", "one ` alone", "`a` and ` more"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    """A name may hold a backtick."""
    assert with_code(text) == text


def test_notes_advice_and_troubles_show_it() -> None:
    """Where messages of the program reach a page."""
    shown = [note("see `a`"), empty("Nothing", "see `a`"), trouble("It", "see `a`")]
    assert ["Code(children='a')" in str(one) or "Code('a')" in str(one) for one in shown] == [True, True, True]
