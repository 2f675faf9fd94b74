"""Foreign text at each sink: whatever it holds, it stands there, is bounded, and does nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from alerting.channels.slack.markup import slack_plain, slack_text
from alerting.postmortems.markdown import markdown_text, web_address
from dashboard.figures.labels import plot_text
from detectors.commands.templates import csv_cell
from tests.hostile import EVERY
from watchkeeper.text import one_line, page_text, prose, seen_name
from watchkeeper.vocabulary import Actor

ANY = st.one_of(
    st.sampled_from(sorted(EVERY.values())), st.text(max_size=80), st.from_regex(r"[<@!#*_~`|:&>\s\w]{0,30}")
)
LINES: list[Callable[[str], str]] = [one_line, seen_name, prose, slack_text, markdown_text, plot_text]


def unseen(text: str) -> list[str]:
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.mark.parametrize("shown", LINES)
@given(text=ANY)
def test_it_is_one_line_that_can_be_seen(shown: Callable[[str], str], text: str) -> None:
    """No control, no direction mark, no line break; never nothing, never without an end."""
    said = shown(text)
    assert unseen(said) == []
    assert said.strip()
    assert len(said) <= 2100
    said.encode()


@given(one=ANY.filter(lambda text: "\\" not in text), other=ANY.filter(lambda text: "\\" not in text))
def test_two_names_look_different(one: str, other: str) -> None:
    """What is unseen, blank or too long is told apart all the same."""
    assume(one != other and {one, other} != {"", " "})
    assert seen_name(one) != seen_name(other)


@given(text=ANY, longest=st.integers(20, 400))
def test_slack_only_shows_it(text: str, longest: int) -> None:
    """Nothing that mentions, links, formats or draws; what is cut is never cut within a sign."""
    said = slack_text(text, longest)
    assert len(said) <= longest
    assert not re.search(r"[<>*~`]", said)
    assert not re.search(r"&(?!amp;|lt;|gt;)", said)
    assert not re.search(r"(?<![^\W_])_|_(?![^\W_])", said)
    assert not re.search(r":[a-z]+:", said)
    assert not said.startswith("&gt;")
    assert not re.search(r"[<>]", slack_plain(text, longest))
    assert 0 < len(slack_plain(text, longest)) <= longest


@given(text=ANY)
def test_markdown_only_shows_it(text: str) -> None:
    """Alone, in a list and in a table's cell, it becomes text and nothing else; and the text is what it was."""
    said = markdown_text(text)
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for page in (said, f"- {said}", f"| a | b |\n|---|---|\n| {said} | {said} |"):
        kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in markdown.parse(page)}
        assert kinds <= {"paragraph", "inline", "bullet_list", "list_item", "table", "thead", "tbody", "tr", "th", "td"}
        inner = [child.type for token in markdown.parse(page) for child in token.children or ()]
        assert set(inner) <= {"text", "text_special"}
    rows = [token for token in markdown.parse(page) if token.type == "td_open"]
    assert len(rows) == 2


@given(text=ANY)
def test_a_spreadsheet_only_shows_it(text: str) -> None:
    """No cell begins a formula, whatever stands before the sign."""
    assert not csv_cell(text).strip().startswith(("=", "+", "-", "@"))
    assert unseen(csv_cell(text)) == []


@given(text=ANY)
def test_a_plot_only_shows_it(text: str) -> None:
    """Neither HTML nor a placeholder."""
    said = plot_text(text)
    assert not re.search(r"[<>]|%\{", said)


@given(text=ANY)
def test_a_page_only_shows_it(text: str) -> None:
    """Nothing unseen but line feeds and tabs; what was there is written as its code."""
    assert set(unseen(page_text(text))) <= {"\n", "\t"}


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("https://ci.example/run/1?x=(y)", "https://ci.example/run/1?x=%28y%29"),
        ("javascript:alert(1)", ""),
        ("JaVaScRiPt://x/%0aalert(1)", ""),
        ("data:text/html,<script>", ""),
        ("//evil.example", ""),
        ("https://a b.example/", ""),
        ("https://a.example/)\n![x](http://evil", ""),
        ("http://[", ""),
        ("", ""),
    ],
)
def test_a_link_leads_to_the_web_or_nowhere(given_url: str, kept: str) -> None:
    """Only http and https, and nothing that ends the link early."""
    assert web_address(given_url) == kept


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_person_of_any_name_can_act(name: str) -> None:
    """A blank or endless name of a person is a name to show, not an error."""
    assert unseen(Actor(name=EVERY[name], via="slack").name) == []
