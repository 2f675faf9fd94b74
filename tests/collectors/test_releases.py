"""Deploys that nobody announced, from the resource attributes of what services send."""

from __future__ import annotations

from collections.abc import Sequence

from collectors.releases import Releases, Seen
from watchkeeper.vocabulary import ChangeEvent, utc

START = 1_790_000_000.0
LOOK_S = 15.0


class Fleet:
    """Processes of `pay` that report every five seconds, looked at every fifteen."""

    def __init__(self, **running: dict[str, str]) -> None:
        self.running = running
        self.releases = Releases()
        self.now = START
        self.events: list[ChangeEvent] = []

    def goes_on(self, seconds: float, announced: Sequence[ChangeEvent] = ()) -> list[ChangeEvent]:
        """Let time pass; what was noticed meanwhile."""
        noticed: list[ChangeEvent] = []
        for _ in range(int(seconds / LOOK_S)):
            first, self.now = self.now, self.now + LOOK_S
            rows = [
                Seen(service="pay", process=process, attribute=name, value=value, first=first + 1, last=self.now - 1)
                for process, attributes in self.running.items()
                for name, value in {"": "", **attributes}.items()
            ]
            noticed += self.releases.observe(rows, self.now, announced)
        self.events += noticed
        return noticed


def version(number: str, **more: str) -> dict[str, str]:
    return {"service.version": number, **more}


def test_a_changed_version_is_a_deploy_with_the_old_and_the_new_value() -> None:
    """It is recorded once, at the time at which the new version was first seen."""
    fleet = Fleet(a=version("1.4"), b=version("1.4"))
    assert fleet.goes_on(300) == []
    at = fleet.now
    fleet.running = {"c": version("1.5"), "d": version("1.5")}
    (deploy,) = fleet.goes_on(900)
    assert (deploy.kind, deploy.service, deploy.version) == ("deploy", "pay", "1.5")
    assert deploy.title == "service.version 1.4 → 1.5"
    assert deploy.attributes["source"] == "telemetry"
    assert abs(deploy.at.timestamp() - at) < LOOK_S


def test_a_canary_counts_and_its_share_is_named() -> None:
    """One of three instances runs another version; that all follow is the same roll-out."""
    fleet = Fleet(a=version("1"), b=version("1"), c=version("1"))
    fleet.goes_on(300)
    fleet.running |= {"c": {}, "d": version("2")}
    del fleet.running["c"]
    (canary,) = fleet.goes_on(60)
    assert canary.title == "service.version 1 → 2, in 1 of 3 instances"
    fleet.running = {"d": version("2"), "e": version("2"), "f": version("2")}
    assert fleet.goes_on(900) == []


def test_an_image_or_a_commit_tells_as_much_and_one_deploy_is_one_event() -> None:
    """Several attributes change together; the version names the deploy, the others are kept beside it."""
    before, after = (
        {"container.image.tags": f'["{n}"]', "vcs.ref.head.revision": f"abc{n}", "service.version": "1." + n}
        for n in "12"
    )
    fleet = Fleet(a=before)
    fleet.goes_on(300)
    fleet.running = {"b": {"container.image.tags": after["container.image.tags"]}}
    (first,) = fleet.goes_on(30)
    assert first.title == "container.image.tags 1 → 2"
    fleet.running = {"b": after}
    assert fleet.goes_on(600) == []


def test_more_instances_of_the_same_version_are_nothing() -> None:
    """Scaling out and in again, with one that stays."""
    fleet = Fleet(a=version("1"))
    fleet.goes_on(300)
    fleet.running |= {"b": version("1"), "c": version("1")}
    fleet.goes_on(600)
    fleet.running = {"a": version("1")}
    fleet.goes_on(600)
    assert fleet.events == []


def test_all_instances_replaced_by_others_of_the_same_version_are_a_restart() -> None:
    """A restart is no deploy, and is recorded once."""
    fleet = Fleet(a=version("1"), b=version("1"))
    fleet.goes_on(300)
    fleet.running = {"c": version("1"), "d": version("1")}
    (restart,) = fleet.goes_on(900)
    assert (restart.kind, restart.title) == ("restart", "restarted all 2 instances, same version")


def test_versions_that_run_side_by_side_are_no_deploys() -> None:
    """A service of two programs has two versions, whichever of them reports first."""
    fleet = Fleet(web=version("7"))
    fleet.goes_on(60)
    fleet.running |= {"worker": version("3")}
    fleet.goes_on(600)
    assert fleet.events == []


def test_going_back_is_a_deploy_and_marked_as_a_rollback() -> None:
    """The version of before is new again after it was gone."""
    fleet = Fleet(a=version("1"))
    fleet.goes_on(300)
    fleet.running = {"b": version("2")}
    fleet.goes_on(600)
    fleet.running = {"c": version("1")}
    fleet.goes_on(300)
    assert [event.title for event in fleet.events] == ["service.version 1 → 2", "service.version 2 → 1"]
    assert [event.attributes.get("rollback") for event in fleet.events] == [None, "true"]


def test_an_attribute_that_appears_is_no_deploy() -> None:
    """Somebody began to send it: nothing says that it changed."""
    fleet = Fleet(a={})
    fleet.goes_on(300)
    fleet.running = {"a": version("1")}
    fleet.goes_on(300)
    assert fleet.events == []


def test_a_deploy_that_was_announced_is_not_recorded_again() -> None:
    """The deploy script's event comes shortly before the first telemetry of the new version."""
    fleet = Fleet(a=version("1"))
    fleet.goes_on(300)
    announced = ChangeEvent(id="d", at=utc(fleet.now - 20), kind="deploy", service="pay", title="Release 2")
    fleet.running = {"b": version("2")}
    assert fleet.goes_on(300, [announced]) == []


def test_the_same_telemetry_gives_the_same_id() -> None:
    """A watch role that starts again records nothing twice."""
    ids = []
    for _ in range(2):
        fleet = Fleet(a=version("1"))
        fleet.goes_on(300)
        fleet.running = {"b": version("2")}
        ids += [event.id for event in fleet.goes_on(60)]
    assert len(ids) == 2
    assert len(set(ids)) == 1
