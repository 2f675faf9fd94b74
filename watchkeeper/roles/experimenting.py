"""Scheduled experiments in the watch role: where the schedules, the channel that asks for approval, and time meet."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from alerting.channels.channel import Notice, NoticeButton, ShowsNotices, Thread
from alerting.channels.registry import open_channels
from alerting.channels.slack import experiments as buttons
from chaos.findings import catch_up
from chaos.schedules.announcing import Announcer, Place
from chaos.schedules.launching import Launcher
from chaos.schedules.requests import HOW_TO_STOP, Announcement
from chaos.schedules.rows import DueRuns
from chaos.schedules.scheduler import Scheduler
from chaos.surroundings import Surroundings
from chaos.toolkit.document import ExperimentFile
from chaos.toolkit.plan import plan
from watchkeeper.clock import SystemClock
from watchkeeper.config import Config
from watchkeeper.problems import Problems
from watchkeeper.roles.loops import Job
from watchkeeper.state.database import Database
from watchkeeper.store.telemetry import Telemetry

EVERY_S: Final = 5.0
ASKED_BY: Final = "slack"
RESILIENCE: Final = "resilience"
READ_EVERY_S: Final = 60.0
TIMES: Final = 60.0  # of `roles.hung_after_s`, for one round: experiments of a day are read at once


def experiment_jobs(config: Config, config_path: Path | None, db: Database, problems: Problems) -> tuple[Job, ...]:
    """The jobs of experiments: what they show of resilience, and the schedules where something can be scheduled."""
    telemetry, clock = Telemetry.connect(config), SystemClock()

    def read() -> None:
        with next(problems.each(RESILIENCE, ["what experiments show"], str)):
            catch_up(db, telemetry, clock.now())

    resilience = Job(name=RESILIENCE, work=read, every_s=READ_EVERY_S, core=False, times=TIMES)
    if config_path is None or not (config.chaos.experiments or config.chaos.folder):
        return (resilience,)
    launcher = Launcher(config, config_path)
    scheduler = Scheduler(
        config,
        db,
        problems,
        launch=launcher.launch,
        announcer=announcer(config, config_path, db, problems),
        clear_up=launcher.clear_up,
    )

    def turn() -> None:
        launcher.reap()
        scheduler.turn(clock.now())

    return resilience, Job(name="experiments", work=turn, every_s=EVERY_S, core=False, times=TIMES)


def announcer(config: Config, config_path: Path, db: Database, problems: Problems) -> Announcer:
    """Asks in Slack, where that is in use. `watchkeeper chaos schedule` and the dashboard list what waits."""

    def radius(experiment: ExperimentFile) -> str:
        return plan(experiment, Surroundings(config_path=config_path)).radius.describe()

    channel = open_channels(config, Problems(None)).channels.get(ASKED_BY)
    show = partial(_show, channel, config) if isinstance(channel, ShowsNotices) else None
    names = {person.id: person.name for person in config.oncall.people}
    return Announcer(DueRuns(db), show, problems, names=names, radius=radius)


def _show(channel: ShowsNotices, config: Config, shown: Announcement, place: Place, maybe_there: bool) -> Place:
    thread = Thread(conversation=place.conversation, ts=place.ts) if place.ts else None
    there = channel.show_notice(notice(shown, config), thread, maybe_there=maybe_there)
    return Place(conversation=there.conversation, ts=there.ts)


def notice(shown: Announcement, config: Config) -> Notice:
    """An announcement as a message with its buttons."""
    request = shown.request
    addresses = {person.id: person.address(ASKED_BY) for person in config.oncall.people}
    token, seen = shown.token, f"{shown.token} {request.digest}"
    offered: tuple[NoticeButton, ...] = ()
    if shown.may_decide:
        offered = (
            NoticeButton(action=buttons.APPROVE, label="Approve", value=seen, style="primary"),
            NoticeButton(action=buttons.REFUSE, label="Refuse", value=seen),
            NoticeButton(action=buttons.POSTPONE, label="Postpone", value=seen),
        )
    if shown.may_stop:
        confirm = "It reverts its faults and plays its rollbacks. Every experiment on that machine ends."
        offered = (NoticeButton(action=buttons.STOP, label="Stop", value=token, style="danger", confirm=confirm),)
    return Notice(
        key=f"experiment:{token}",
        title=shown.title,
        text=f"{request.title}\n{shown.status}",
        facts=(
            ("Does", "\n".join(request.does)),
            ("Blast radius", request.radius),
            ("Due", shown.due_at),
            ("Lasts", request.bound),
            ("Approval", f"{request.count} of {', '.join(request.by)}"),
            ("Stop it by", HOW_TO_STOP),
            ("File", request.file),
        ),
        mentions=tuple(filter(None, (addresses.get(person, "") for person in request.by))) if shown.may_decide else (),
        buttons=offered,
    )
