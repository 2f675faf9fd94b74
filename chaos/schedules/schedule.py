"""Which experiments run by themselves, and when: from the configuration, and from files of the experiments' folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from chaos.toolkit.document import SUFFIXES, ExperimentFile, read_experiment
from watchkeeper.config import Config, ScheduleRule
from watchkeeper.config_chaos import cron_trigger
from watchkeeper.config_days import DAYS, dates, office_hours
from watchkeeper.errors import ChaosError
from watchkeeper.text import did_you_mean

# After so long without a watch role, earlier times are counted and not listed.
MOST_MISSED: Final = 100
LOOKS_AHEAD: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """An experiment that runs by itself. `id` is its name in the configuration, or its file's name."""

    id: str
    file: Path
    rule: ScheduleRule

    def read(self) -> ExperimentFile:
        """The experiment as its file is now. Raises ChaosError."""
        return read_experiment(self.file)


def schedules(config: Config) -> tuple[tuple[Schedule, ...], dict[str, str]]:
    """Every schedule by id, and why files of the folder cannot be read. One bad file stops no other."""
    known: dict[str, Schedule] = {}
    mistakes: dict[str, str] = {}
    for each in config.chaos.experiments:
        try:
            file = each.file or file_named(config.chaos.folder, each.experiment or "")
        except ChaosError as error:
            mistakes[each.id] = error.message
            continue
        known[each.id] = Schedule(id=each.id, file=file, rule=each)
    for path in files_in(config.chaos.folder):
        try:
            rule = read_experiment(path).extension.schedule
        except ChaosError as error:
            mistakes[str(path)] = error.message
            continue
        if rule is not None and path.stem not in known:
            known[path.stem] = Schedule(id=path.stem, file=path, rule=rule)
        elif rule is not None:
            mistakes[str(path)] = f"another schedule is named {path.stem!r}; rename the file"
    return tuple(known.values()), mistakes


def schedule_named(config: Config, name: str) -> Schedule:
    """Raises ChaosError, with those that there are, for an unknown one."""
    known, _ = schedules(config)
    for schedule in known:
        if schedule.id == name:
            return schedule
    raise ChaosError(f"no experiment is scheduled as {name!r}; there are: {', '.join(s.id for s in known) or 'none'}")


def files_in(folder: Path | None) -> Iterator[Path]:
    """The experiment files of a folder, by name."""
    if folder is not None and folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())


def file_named(folder: Path | None, name: str) -> Path:
    """The file of an experiment by its name in the folder. Raises ChaosError, with the near ones."""
    names = {path.stem: path for path in files_in(folder)}
    if name not in names:
        where = f"in {folder}" if folder else "by name: `chaos.folder` names no folder"
        raise ChaosError(f"there is no experiment {name!r} {where}{did_you_mean(name, names) if folder else ''}")
    return names[name]


def due_times(rule: ScheduleRule, after: datetime, until: datetime) -> tuple[datetime, ...]:
    """The times after `after`, up to and with `until`, in UTC, the newest `MOST_MISSED` of them. Pure."""
    times: list[datetime] = []
    for at in _times(rule, after):
        if at > until:
            break
        times = [*times[-MOST_MISSED + 1 :], at]
    return tuple(times)


def is_due_at(rule: ScheduleRule, at: datetime) -> bool:
    """Whether a time is one of the rule's. Pure."""
    return at in due_times(rule, at - timedelta(seconds=1), at)


def next_time(rule: ScheduleRule, after: datetime) -> datetime | None:
    """The next time at which it is due and nothing in its rule stands against it; None within a year. Pure."""
    looked_until = after
    while (at := next(_times(rule, looked_until), None)) is not None and at - after <= LOOKS_AHEAD:
        if not closed(rule, at):
            return at
        looked_until = max(at, _opens(rule, at))
    return None


def _opens(rule: ScheduleRule, at: datetime) -> datetime:
    """Just before the next beginning of the rule's hours, so that a closed month is not looked at minute by minute."""
    local = at.astimezone(ZoneInfo(rule.timezone))
    hour, minute = divmod(office_hours(rule.hours)[0], 60)
    opens = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
    if (local.hour, local.minute) >= (hour, minute):
        opens += timedelta(days=1)
    # A local time that comes twice, or never, is taken for the earlier of both instants.
    return min(opens.replace(fold=fold).astimezone(UTC) for fold in (0, 1)) - timedelta(microseconds=1)


def _times(rule: ScheduleRule, after: datetime) -> Iterator[datetime]:
    """The times of a rule in UTC, for ever. A local time that comes twice, as clocks go back, counts once."""
    trigger, zone = cron_trigger(rule.cron, rule.timezone), ZoneInfo(rule.timezone)
    at = after.astimezone(UTC)
    while (following := trigger.get_next_fire_time(None, at + timedelta(microseconds=1))) is not None:
        # In UTC: arithmetic on local times stands still where an hour is missing.
        following = following.astimezone(UTC)
        if _wall(following, zone) != _wall(at, zone):
            yield following
        at = following


def _wall(at: datetime, zone: ZoneInfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None)


def closed(rule: ScheduleRule, now: datetime) -> str:
    """Why nothing may begin at this time by the rule's own hours and days; empty: it may. Pure."""
    local = now.astimezone(ZoneInfo(rule.timezone))
    for text in rule.blackout:
        first, last = dates(text)
        if first <= local.date() <= last:
            return f"{local.date()} is a blackout day ({text})"
    if DAYS[local.weekday()] not in rule.days:
        return f"nothing begins on {DAYS[local.weekday()]}"
    first_minute, last_minute = office_hours(rule.hours)
    if not first_minute <= 60 * local.hour + local.minute < last_minute:
        return f"{local:%H:%M} in {rule.timezone} is outside {rule.hours}"
    return ""
