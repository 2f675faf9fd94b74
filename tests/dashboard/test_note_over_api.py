"""A note over the API: a command with a text, and nothing without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard.api_site import Site, api_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("notes")
    with api_site(folder) as running:
        yield running


def texts(site: Site, incident_id: str) -> list[str]:
    return [entry.text for entry in site.incidents.get(incident_id).complete_timeline]


@pytest.mark.parametrize("body", [None, {}, {"text": ""}, {"text": " \n\t"}, {"text": "x" * 2001}, {"text": "a\x00b"}])
def test_a_note_without_a_text_that_can_be_kept_is_refused(site: Site, body: dict[str, str] | None) -> None:
    """Nothing is added to the timeline; the answer names the field."""
    before = texts(site, site.incident_id)
    with site.client("full") as program:
        answer = program.post(f"/api/v1/incidents/{site.incident_id}/note", json=body)
    assert (answer.status_code, "text" in answer.json()["error"]) == (422, True)
    assert texts(site, site.incident_id) == before


def test_a_note_is_added_once(site: Site) -> None:
    """By the token that sent it; the same key again adds nothing."""
    with site.client("full") as program:
        for status in (200, 409):
            note = {"text": " called the bank ", "key": "bank"}
            answer = program.post(f"/api/v1/incidents/{site.incident_id}/note", json=note)
            assert answer.status_code == status
    assert [text for text in texts(site, site.incident_id) if "bank" in text] == ["called the bank"]
