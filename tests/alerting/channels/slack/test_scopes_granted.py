"""`watchkeeper doctor` says what the token of the Slack app may not do, before a call fails at night."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from alerting.channels.slack import scopes
from tests.alerting.channels.slack.running_site import Site
from watchkeeper.roles import ready
from watchkeeper.roles.doctor import Result, slack

Granting = Callable[..., list[Result]]


@pytest.fixture
def granting(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Granting]:
    """What doctor says of a token whose app was installed with these scopes."""
    ready.announce(site.config, "standin", {"http": site.config.slack.stand_in.port})

    def check(*names: str) -> list[Result]:
        monkeypatch.setattr(scopes, "manifest", lambda: {"oauth_config": {"scopes": {"bot": list(names)}}})
        return slack(site.config)

    yield check
    ready.withdraw(site.config, "standin")


def test_nothing_is_lacking_with_the_manifest_s_scopes(granting: Granting) -> None:
    """In a private channel, the scopes are those of groups."""
    for kind in ("channels", "groups"):
        results = granting("chat:write", f"{kind}:history", f"{kind}:read", "commands", "files:write", "users:read")
        assert [(one.status, one.seen) for one in results] == [("ok", "the stand-in knows us as watchkeeper")]


def test_an_app_from_before_the_pictures_is_named(granting: Granting) -> None:
    """With what does not work, and what to do."""
    known, lacks = granting("chat:write", "channels:history", "channels:read", "commands", "users:read")
    assert known.status == "ok"
    assert (lacks.status, lacks.check) == ("warning", "slack")
    assert "files:write: incidents have no picture of the evidence" in lacks.seen
    assert "reinstall" in lacks.advice


def test_a_token_that_cannot_page_is_a_problem(granting: Granting) -> None:
    """The other scopes are warnings."""
    results = granting("channels:history")
    assert [one.status for one in results] == ["ok", "problem", *["warning"] * 4]


def test_each_scope_of_the_manifest_says_what_is_missing_without_it() -> None:
    """A new scope needs its words."""
    assert set(scopes.WITHOUT) == set(scopes.manifest()["oauth_config"]["scopes"]["bot"])
