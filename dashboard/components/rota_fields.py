"""The form of one object of the rota: its fields from its value, and its value from what was typed into them.

A field's id is `{"rota": KEY}`; keys of rows are `steps.0.after`. What the form has no field for is edited as YAML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dash_mantine_components as dmc
from dash import html

from alerting.oncall.ownership import ONE, Kind
from dashboard.components.elements import Part
from watchkeeper.config import Config
from watchkeeper.config_days import ALL_DAY, DAYS
from watchkeeper.durations import seconds_of, typed_span
from watchkeeper.errors import ConfigError
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import LEVELS

MOST_ROWS: Final = 12  # more are easier to edit as text
REORDER: Final = "To move somebody to the end, remove them and choose them again."
EACH: Final = "each of them"
IN_TURN: Final = "one of them: with every incident the next"
Typed = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Parts of an object that repeat: `key` in its value, `one` of them in words, and what a new one has."""

    key: str
    one: str
    new: Mapping[str, Any]


ROWS: Final[Mapping[Kind, Rows]] = {
    "people": Rows(key="notification_rules", one="rule", new={"channel": "", "after_s": 0}),
    "schedules": Rows(
        key="layers",
        one="layer",
        new={"people": [], "start": "2025-01-06T09:00", "turn_hours": 168.0, "hours": ALL_DAY, "days": list(DAYS)},
    ),
    "policies": Rows(key="steps", one="step", new={"after_s": 300.0, "notify": [], "round_robin": False}),
}
NEW: Final[Mapping[Kind, Any]] = {
    "people": {"name": "", "timezone": "UTC", "addresses": {}, "notification_rules": []},
    "schedules": {"timezone": "UTC", "layers": [dict(ROWS["schedules"].new)], "fallback": None},
    "policies": {"steps": [{"after_s": 0.0, "notify": [], "round_robin": False}], "repeat": 0, "timeout_s": 900.0},
    "teams": [],
}


def fits(kind: Kind, value: Any) -> bool:
    """Whether the form has a field for everything that an object holds."""
    if kind == "teams":
        return True
    rows = value.get(ROWS[kind].key) or []
    spans = [row.get(key, 0) for row in rows for key in ("after_s",)] + [value.get("timeout_s", 0)]
    spans += [row.get("turn_hours", 0) * 3600 for row in rows]
    has_more = bool(value.get("shadows")) or any(row.get("timezone") or row.get("end") for row in rows)
    return len(rows) <= MOST_ROWS and not has_more and all(float(span).is_integer() for span in spans)


def fields(kind: Kind, value: Any, config: Config, *, is_new: bool, name: str = "") -> list[Part]:
    """The fields of an object, with what it holds; those of a new one begin with its id, for which `name` is chosen."""
    made: list[Part] = []
    if is_new:
        made.append(_text("id", "Id", name, f"How other parts of the rota name this {ONE[kind]}; it stays."))
    return made + _OF[kind](value, config)


def value_of(kind: Kind, typed: Typed) -> Any:
    """The object that was typed in, as the file would hold it.

    Raises:
        ConfigError: a span of time cannot be read; names the field.
    """
    if kind == "teams":
        return _several(typed, "services")
    return _READ[kind](typed)


def rows_of(typed: Typed, key: str) -> list[dict[str, Any]]:
    """What was typed into the rows, in their order."""
    numbers = sorted({int(name.split(".")[1]) for name in typed if _is_row(name, key)})
    return [
        {
            name.split(".", 2)[2]: what
            for name, what in typed.items()
            if _is_row(name, key) and int(name.split(".")[1]) == n
        }
        for n in numbers
    ]


def _is_row(name: str, key: str) -> bool:
    parts = name.split(".", 2)
    return len(parts) == 3 and parts[0] == key and parts[1].isascii() and parts[1].isdigit() and len(parts[1]) < 4


def with_rows(kind: Kind, value: Any, change: str, at: int) -> Any:
    """The value with a row more, with one less, or with one moved before its predecessor."""
    rows = list(value.get(ROWS[kind].key) or [])
    if change == "add" and len(rows) < MOST_ROWS:
        rows.append(dict(ROWS[kind].new))
    elif change == "remove" and 0 <= at < len(rows):
        del rows[at]
    elif change == "earlier" and 0 < at < len(rows):
        rows.insert(at - 1, rows.pop(at))
    return {**value, ROWS[kind].key: rows}


def _person(value: Any, config: Config) -> list[Part]:
    addresses = value.get("addresses") or {}
    channels = list(dict.fromkeys([*config.channels, *addresses]))
    rules = value.get("notification_rules") or []
    rows = [
        [
            _select(f"notification_rules.{n}.channel", "Channel", channels, rule.get("channel") or None),
            _text(f"notification_rules.{n}.after", "After the page", typed_span(rule.get("after_s") or 0)),
        ]
        for n, rule in enumerate(rules)
    ]
    return [
        _line(_text("name", "Name", value.get("name") or ""), _zone(value)),
        html.H3("Addresses"),
        _line(*(_text(f"address.{name}", name, addresses.get(name, "")) for name in channels)),
        html.P("An address is what the channel knows them by, such as U012AB3CD in Slack.", className="muted"),
        *_repeated("people", "Notification rules", rows, "Without a rule, each page goes to every address at once."),
    ]


def _schedule(value: Any, config: Config) -> list[Part]:
    people = _people(config)
    rows = [
        [
            _several_of(
                f"layers.{n}.people", "People, in the order of their turns", people, layer.get("people") or [], REORDER
            ),
            _text(f"layers.{n}.turn", "Each turn lasts", typed_span((layer.get("turn_hours") or 0) * 3600)),
            _text(f"layers.{n}.start", "First handoff", layer.get("start") or ""),
            _text(f"layers.{n}.hours", "Hours of the day", layer.get("hours") or ALL_DAY),
            _several_of(f"layers.{n}.days", "Days", [(day, day.capitalize()) for day in DAYS], layer.get("days") or []),
            _tags(f"layers.{n}.holidays", "Not on", layer.get("holidays") or [], "2026-12-24..2027-01-02"),
        ]
        for n, layer in enumerate(value.get("layers") or [])
    ]
    return [
        _line(_zone(value), _select("fallback", "If nobody is on call", people, value.get("fallback"))),
        *_repeated("schedules", "Layers", rows, "A later layer covers the ones before it."),
    ]  # fmt: skip


def _policy(value: Any, config: Config) -> list[Part]:
    reached = [*((s.id, f"{seen_name(s.id)} (schedule)") for s in config.oncall.schedules), *_people(config)]
    rows = [
        [
            _text(f"steps.{n}.after", "Wait before", typed_span(step.get("after_s") or 0)),
            _several_of(f"steps.{n}.notify", "Page", reached, step.get("notify") or []),
            _select(f"steps.{n}.how", "Of several", [EACH, IN_TURN], IN_TURN if step.get("round_robin") else EACH),
        ]
        for n, step in enumerate(value.get("steps") or [])
    ]
    labels = [f"{name}={what}" for name, what in (value.get("labels") or {}).items()]
    return [
        html.P("Used for incidents that fit everything given here; the first policy that fits.", className="muted"),
        _line(
            _tags("services", "Services", value.get("services") or [], "payments, shop-*"),
            _several_of("teams", "Teams", [(t, seen_name(t)) for t in config.oncall.teams], value.get("teams") or []),
            _several_of("severities", "Severities", [(s, s) for s in LEVELS], value.get("severities") or []),
            _tags("labels", "Labels of alerts", labels, "severity=critical"),
        ),
        *_repeated("policies", "Steps", rows, "An acknowledgement stops the escalation."),
        _line(
            _text("timeout", "Time to answer the last step", typed_span(value.get("timeout_s") or 0)),
            _text("repeat", "Begin again, times", str(value.get("repeat") or 0)),
            _several_of("fallback", "Nobody answered: page", reached, value.get("fallback") or []),
        ),
    ]


def _team(value: Any, _config: Config) -> list[Part]:
    return [_tags("services", "Services", value, "payments, shop-*")]


_OF: Final[Mapping[Kind, Callable[[Any, Config], list[Part]]]] = {
    "people": _person,
    "schedules": _schedule,
    "policies": _policy,
    "teams": _team,
}


def _read_person(typed: Typed) -> dict[str, Any]:
    named = {key.removeprefix("address."): what for key, what in typed.items() if key.startswith("address.")}
    addresses = {channel: text for channel, what in named.items() if (text := _line_of(what))}
    rules = [
        {"channel": _line_of(row.get("channel")), "after_s": _seconds(row.get("after"), f"rule {number + 1}")}
        for number, row in enumerate(rows_of(typed, "notification_rules"))
    ]
    return {
        "name": _line_of(typed.get("name")),
        "addresses": addresses,
        "notification_rules": rules,
        "timezone": _line_of(typed.get("timezone")) or "UTC",
    }


def _read_schedule(typed: Typed) -> dict[str, Any]:
    layers = [
        {
            "people": _several(row, "people"),
            "start": _line_of(row.get("start")),
            "turn_hours": _seconds(row.get("turn"), f"layer {number + 1}") / 3600,
            "hours": _line_of(row.get("hours")) or ALL_DAY,
            "days": [day for day in DAYS if day in _several(row, "days")],
            "holidays": _several(row, "holidays"),
        }
        for number, row in enumerate(rows_of(typed, "layers"))
    ]
    zone = _line_of(typed.get("timezone")) or "UTC"
    return {"timezone": zone, "layers": layers, "fallback": _line_of(typed.get("fallback")) or None}


def _read_policy(typed: Typed) -> dict[str, Any]:
    steps = [
        {
            "after_s": _seconds(row.get("after"), f"step {number + 1}"),
            "notify": _several(row, "notify"),
            "round_robin": row.get("how") == IN_TURN,
        }
        for number, row in enumerate(rows_of(typed, "steps"))
    ]
    labels = [label.partition("=") for label in _several(typed, "labels")]
    return {
        "services": _several(typed, "services"),
        "teams": _several(typed, "teams"),
        "labels": {name: what for name, _, what in labels},
        "severities": _several(typed, "severities"),
        "steps": steps,
        "repeat": _line_of(typed.get("repeat")) or 0,
        "timeout_s": _seconds(typed.get("timeout"), "time to answer"),
        "fallback": _several(typed, "fallback"),
    }


_READ: Final[Mapping[Kind, Callable[[Typed], dict[str, Any]]]] = {
    "people": _read_person,
    "schedules": _read_schedule,
    "policies": _read_policy,
}


def _seconds(what: Any, field: str) -> int:
    text = _line_of(what)
    try:
        return seconds_of("0s" if text in ("", "0") else text)
    except ValueError as error:
        raise ConfigError(f"{field}: {error}") from error


def _line_of(what: Any) -> str:
    return str(what).strip() if isinstance(what, (str, int, float)) else ""


def _several(typed: Typed, key: str) -> list[str]:
    what = typed.get(key)
    return [text for each in what if (text := _line_of(each))] if isinstance(what, list) else []


# The fields themselves.


def _repeated(kind: Kind, title: str, rows: Sequence[Sequence[Part]], advice: str) -> list[Part]:
    """Rows of fields, each with buttons that move and remove it, and one that adds another."""
    one = ROWS[kind].one
    drawn = [
        html.Fieldset(
            [
                html.Legend(f"{one.capitalize()} {number + 1}"),
                _line(*parts),
                html.Div(
                    [
                        _row_button("earlier", number, "Move up", f"Move {one} {number + 1} up") if number else None,
                        _row_button("remove", number, "Remove", f"Remove {one} {number + 1}"),
                    ],
                    className="actions",
                ),
            ],
            className="rota-row",
        )
        for number, parts in enumerate(rows)
    ]
    more = _row_button("add", len(rows), f"Add a {one}", f"Add a {one}") if len(rows) < MOST_ROWS else None
    return [html.H3(title), html.P(advice, className="muted"), *drawn, html.Div(more, className="actions")]


def _row_button(change: str, at: int, words: str, label: str) -> Part:
    name = {"rota_row": change, "at": at}
    return dmc.Button(words, id=name, n_clicks=0, size="compact-sm", variant="default", **{"aria-label": label})


def _line(*parts: Part) -> Part:
    return html.Div(list(parts), className="rota-line")


def _text(key: str, label: str, value: str, description: str = "") -> Part:
    about = {"description": description} if description else {}
    return dmc.TextInput(id={"rota": key}, label=label, value=value, debounce=True, **about)


def _zone(value: Any) -> Part:
    return _text("timezone", "Time zone", value.get("timezone") or "UTC")


def _people(config: Config) -> list[tuple[str, str]]:
    return [(person.id, seen_name(person.name)) for person in config.oncall.people]


def _data(choices: Sequence[tuple[str, str] | str], chosen: Sequence[str]) -> list[dict[str, str]]:
    """The choices, and what is chosen though it is gone."""
    pairs = [(each, each) if isinstance(each, str) else each for each in choices]
    known = {value for value, _ in pairs}
    pairs += [(value, seen_name(value)) for value in chosen if value not in known]
    return [{"value": value, "label": label} for value, label in pairs if value]


def _select(key: str, label: str, choices: Sequence[tuple[str, str] | str], value: str | None) -> Part:
    data = _data(choices, [value] if value else [])
    return dmc.Select(id={"rota": key}, label=label, data=data, value=value, clearable=True)


def _several_of(
    key: str, label: str, choices: Sequence[tuple[str, str] | str], value: Sequence[str], description: str = ""
) -> Part:
    about = {"description": description} if description else {}
    data = _data(choices, value)
    return dmc.MultiSelect(id={"rota": key}, label=label, data=data, value=list(value), searchable=True, **about)


def _tags(key: str, label: str, value: Sequence[str], example: str) -> Part:
    return dmc.TagsInput(id={"rota": key}, label=label, value=list(value), placeholder="" if value else example)
