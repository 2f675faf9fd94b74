"""What Slack checks of an upload, checked by the stand-in."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from alerting.channels.slack import scopes
from tests.alerting.channels.slack.running_site import Site


def api(site: Site, method: str, **arguments: Any) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {site.config.slack_token()}"}
    answer: dict[str, Any] = site.slack.post(f"/api/{method}", json=arguments, headers=headers).json()
    return answer


def uploaded(site: Site, content: bytes = b"a picture") -> str:
    """The id of a file whose bytes are there."""
    place = api(site, "files.getUploadURLExternal", filename="a.png", length=len(content))
    assert httpx.post(place["upload_url"], content=content, trust_env=False).status_code == 200
    return str(place["file_id"])


def test_an_upload_needs_its_scope(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Slack refuses it."""
    monkeypatch.setattr(scopes, "manifest", lambda: {"oauth_config": {"scopes": {"bot": ["chat:write"]}}})
    for method in ("files.getUploadURLExternal", "files.completeUploadExternal"):
        answer = api(site, method, filename="a.png", length=3, files=[{"id": "F1"}])
        assert (answer["error"], answer["needed"]) == ("missing_scope", "files:write")


def test_an_address_takes_the_announced_bytes_once(site: Site) -> None:
    """Another length is refused, and so is a second time."""
    place = api(site, "files.getUploadURLExternal", filename="a.png", length=3)
    assert httpx.post(place["upload_url"], content=b"four", trust_env=False).status_code == 400
    place = api(site, "files.getUploadURLExternal", filename="a.png", length=3)
    statuses = [httpx.post(place["upload_url"], content=b"abc", trust_env=False).status_code for _ in range(2)]
    assert statuses == [200, 400]


def test_a_file_is_completed_once_and_only_with_its_bytes(site: Site) -> None:
    """In a channel by its id, in a thread that is there."""
    site.page()
    place = api(site, "files.getUploadURLExternal", filename="a.png", length=3)
    share: dict[str, Any] = {"channel_id": "C0INCIDENTS", "thread_ts": site.message()["ts"]}
    assert (
        api(site, "files.completeUploadExternal", files=[{"id": place["file_id"]}], **share)["error"]
        == "file_not_found"
    )
    given = [{"id": uploaded(site), "title": "a"}]
    for wrong, error in (
        ({"channel_id": "incidents"}, "channel_not_found"),
        ({"thread_ts": "1.0"}, "thread_not_found"),
    ):
        assert api(site, "files.completeUploadExternal", files=given, **(share | wrong))["error"] == error
    site.stand_in.workspace.channel["is_member"] = False
    try:
        assert api(site, "files.completeUploadExternal", files=given, **share)["error"] == "not_in_channel"
    finally:
        site.stand_in.workspace.channel["is_member"] = True
    assert api(site, "files.completeUploadExternal", files=given, **share)["ok"]
    assert api(site, "files.completeUploadExternal", files=given, **share)["error"] == "file_not_found"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"filename": "a.png", "length": 3, "alt_txt": "x" * 1001}, "alt_txt_too_large"),
        ({"filename": "a.png", "length": 0}, "invalid_arguments"),
        ({"filename": "", "length": 3}, "invalid_arguments"),
        ({"length": "three", "filename": "a.png"}, "invalid_arguments"),
    ],
)
def test_what_slack_refuses_of_an_upload_is_refused(site: Site, arguments: dict[str, Any], error: str) -> None:
    """With Slack's own word."""
    assert api(site, "files.getUploadURLExternal", **arguments)["error"] == error
