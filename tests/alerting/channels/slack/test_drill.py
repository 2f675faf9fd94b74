"""`watchkeeper test-page`: a page to one person through the real channel; no incident, on record, and never silent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.alerting.channels.slack.running_site import Site
from tests.front_door import Run, front_door
from watchkeeper.state.audit import audit_trail


@pytest.fixture
def run(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Give a command through the front door, with the running site's configuration."""
    config = site.config
    file = tmp_path / "w.yaml"
    tree = {
        "data_dir": str(config.data_dir),
        "web": {"port": config.web.port},
        "slack": {"stand_in": {"port": config.slack.stand_in.port}},
        "oncall": {"people": [one.model_dump() for one in config.oncall.people]},
    }
    file.write_text(yaml.safe_dump(tree))
    monkeypatch.setenv("WATCHKEEPER_CONFIG", str(file))

    return front_door(monkeypatch, capsys)


@pytest.mark.parametrize("given", ["ben", "Ben", "UBEN"])
def test_it_pages_one_person_and_says_where(run: Run, site: Site, given: str) -> None:
    """By id, name or address: one message that mentions them, is marked as a test, and is on record."""
    status, out, err = run("test-page", given)
    assert (status, err) == (0, "")
    where = f"#incidents of the local stand-in for Slack ({site.slack.base_url}/)"
    assert out == f"Ben (UBEN) was paged by slack: accepted in {where}.\n"
    (message,) = site.board()["messages"]
    assert message["text"].startswith("<@UBEN> Test page for Ben: nothing is wrong")
    (entry,) = audit_trail(site.db)
    assert (entry.action, entry.subject, entry.detail.split()[0]) == ("page.test", "ben", "accepted")


def test_each_channel_of_the_rules_is_tried_at_once(run: Run, site: Site, tmp_path: Path) -> None:
    """Also one that no rule names. What is printed says when each would page; one that fails stops no other."""
    (tmp_path / "w.yaml").write_text(
        yaml.safe_dump(
            {
                "data_dir": str(site.config.data_dir),
                "slack": {"stand_in": {"port": site.config.slack.stand_in.port}},
                "channels": {
                    "email": {"host": "127.0.0.1", "port": 1, "security": "none", "sender": "pager@example.com"},
                    "phone": {"kind": "webhook", "url": "http://127.0.0.1:1", "secret_env": "UNSET_SECRET"},
                    "slack": {},
                },
                "oncall": {
                    "people": [
                        {
                            "id": "ben",
                            "name": "Ben",
                            "addresses": {"slack": "UBEN", "email": "ben@example.com", "phone": "+49"},
                            "notification_rules": [{"channel": "email"}, {"channel": "slack", "after_s": 90}],
                        }
                    ],
                    "schedules": [{"id": "primary", "layers": [{"people": ["ben"]}]}],
                },
            }
        )
    )
    status, out, err = run("test-page", "ben")
    where = f"#incidents of the local stand-in for Slack ({site.slack.base_url}/)"
    when = "a page goes there 1 min 30 s later, unless somebody acknowledged"
    assert (status, out) == (1, f"Ben (UBEN) was paged by slack: accepted in {where} ({when}).\n")
    assert "email did not page Ben (ben@example.com): mail server 127.0.0.1 cannot be reached" in err
    assert "phone did not page Ben (+49): channel phone cannot be opened" in err
    assert "Traceback" not in err
    pages = json.loads(run("test-page", "ben", "--json")[1])["pages"]
    assert [(page["channel"], page["after_s"], page["accepted"]) for page in pages] == [
        ("email", 0.0, False),
        ("slack", 90.0, True),
        ("phone", None, False),
    ]


def test_it_opens_no_incident(run: Run, site: Site) -> None:
    """Nothing to acknowledge, nothing to learn from, and the next real page is not taken for a repeat."""
    run("test-page", "ben")
    assert site.incidents.list() == ()


def test_a_file_that_is_not_used_is_named(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever wrote watchkeeper.yaml and forgot --config hears that its people are not those who would be paged."""
    monkeypatch.delenv("WATCHKEEPER_CONFIG")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "watchkeeper.yaml").write_text("{}")
    assert "note: watchkeeper.yaml in this folder is not used" in run("test-page", "nobody")[2]


def test_a_script_reads_json(run: Run) -> None:
    """Who, where, and that it was accepted."""
    facts = json.loads(run("test-page", "ben", "--json")[1])
    (page,) = facts["pages"]
    assert (facts["person"], facts["accepted"]) == ("ben", True)
    assert (page["channel"], page["address"], page["conversation"]) == ("slack", "UBEN", "C0INCIDENTS")


def test_an_unknown_person_gets_the_list_of_people(run: Run, site: Site) -> None:
    """And nobody is paged."""
    status, _, err = run("test-page", "zoe")
    assert (status, "there are: oncall, ben" in err) == (3, True)
    assert site.board()["messages"] == []


@pytest.mark.parametrize(("kind", "reason"), [("ratelimited", "ratelimited"), ("unavailable", "service_unavailable")])
def test_the_reason_of_a_refusal_is_shown(run: Run, site: Site, kind: str, reason: str) -> None:
    """Exit status 1, the channel's own word, and a line on record."""
    trouble = {"kind": kind, "method": "chat.postMessage", "times": 1, "retry_after_s": 1}
    assert site.slack.post("/standin/trouble", json=trouble).status_code == 200
    status, _, err = run("test-page", "ben")
    assert (status, reason in err, "Traceback" in err) == (1, True, False), err
    assert audit_trail(site.db)[0].detail.startswith("not accepted")


def test_a_wrong_token_is_reported(run: Run, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """As real Slack would: the token in the environment is not the workspace's."""
    monkeypatch.setattr("watchkeeper.config.Config.slack_token", lambda _: "xoxb-wrong")
    status, _, err = run("test-page", "ben")
    assert (status, "slack did not page Ben (UBEN): the local stand-in for Slack refused: invalid_auth" in err) == (
        1,
        True,
    ), err
    assert site.board()["messages"] == []


def test_a_channel_that_is_away_is_reported(tmp_path: Path, run: Run) -> None:
    """Nobody listens: what to start."""
    (tmp_path / "w.yaml").write_text(f"data_dir: {tmp_path}/d\nslack: {{stand_in: {{port: 1}}}}\n")
    status, _, err = run("test-page", "oncall")
    assert (status, "cannot be reached" in err, "watchkeeper up" in err) == (1, True, True), err


def test_traces_say_what_to_start_where_no_store_is(tmp_path: Path, run: Run) -> None:
    """One line, and nothing of the libraries below."""
    (tmp_path / "w.yaml").write_text(f"data_dir: {tmp_path}/d\nstore: {{port: 1}}\n")
    status, _, err = run("traces")
    assert status == 1
    assert err == (
        "watchkeeper: the store at http://127.0.0.1:1 does not answer: "
        "is `watchkeeper up` running, with this configuration?\n"
    )
