"""What a browser may ask of a callback: one that exists, for exactly its inputs, with values of the right kind.

Dash takes a request as it comes: an unknown output, a missing input or a list where a text belongs ends in an exception
far inside. Here the request is read once, checked against the callbacks that were registered, and made anew from what
is known; anything else is refused with a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog
from prometheus_client import Counter
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from alerting.postmortems.document import EDITABLE, LONGEST
from watchkeeper.asgi.middleware import replayed
from watchkeeper.asgi.plain import NotPlainError, plain_object
from watchkeeper.vocabulary import MECHANISMS

REFUSED = Counter("watchkeeper_dashboard_refused_total", "Requests to pages that were refused as malformed.")
PATH: Final = "/_dash-update-component"
MOST_BUTTONS: Final = 2000  # of one kind on one page


class MalformedRequest(ValueError):
    """A malformed request; the message names the part and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A property of a component. `pattern` is a pattern's id: a fixed value for a key, or None for any; else None."""

    component: str
    attribute: str
    pattern: Mapping[str, str | None] | None

    @property
    def name(self) -> str:
        return f"{self.component}.{self.attribute}"


@dataclass(frozen=True, slots=True)
class Callback:
    """What a registered callback reads and writes."""

    inputs: tuple[Place, ...]
    state: tuple[Place, ...]
    outputs: tuple[tuple[str, str], ...]


def registered(callback_map: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Callback]:
    """The callbacks that run here and not in the browser, by output."""
    return {
        name: Callback(
            inputs=tuple(_place(dependency) for dependency in entry["inputs"]),
            state=tuple(_place(dependency) for dependency in entry["state"]),
            outputs=tuple((output.component_id, output.component_property) for output in entry["output"]),
        )
        for name, entry in callback_map.items()
        if "callback" in entry
    }


def checked(body: bytes, callbacks: Mapping[str, Callback]) -> dict[str, Any]:
    """The request as Dash may have it.

    Raises:
        MalformedRequest: it is not JSON, names no callback, or does not fit the one that it names.
    """
    try:
        tree = plain_object(body)
    except NotPlainError as error:
        raise MalformedRequest(str(error)) from error
    output = tree.get("output")
    callback = callbacks.get(output) if isinstance(output, str) else None
    if callback is None:
        raise MalformedRequest("output: no such callback; reload the page")
    inputs = _values("inputs", tree.get("inputs", []), callback.inputs)
    state = _values("state", tree.get("state", []), callback.state)
    given = {_prop_id(item) for group in (*inputs, *state) for item in (group if isinstance(group, list) else [group])}
    changed = tree.get("changedPropIds", [])
    if not isinstance(changed, list) or not all(isinstance(name, str) and name in given for name in changed):
        raise MalformedRequest("changedPropIds: names a property that is not an input")
    return {
        "output": output,
        "outputs": [{"id": name, "property": attribute.partition("@")[0]} for name, attribute in callback.outputs],
        "inputs": inputs,
        "state": state,
        "changedPropIds": changed,
    }


class CheckedCallbacks:
    """Passes only well-formed requests to Dash."""

    def __init__(self, app: ASGIApp, *, callbacks: Mapping[str, Callback]) -> None:
        self._app = app
        self._callbacks = callbacks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = json.dumps(checked(await Request(scope, receive).body(), self._callbacks)).encode()
        except MalformedRequest as error:
            REFUSED.inc()
            structlog.get_logger().info("dashboard.request_refused", reason=str(error))
            await JSONResponse({"error": str(error)}, 400)(scope, receive, send)
            return
        headers = MutableHeaders(raw=list(scope["headers"]))
        headers["content-type"] = "application/json"
        headers["content-length"] = str(len(body))
        await self._app({**scope, "headers": headers.raw}, replayed(body, receive), send)


def _place(entry: Mapping[str, str]) -> Place:
    name = entry["id"]
    pattern = json.loads(name) if name.startswith("{") else None
    # Dash writes a key that takes any value as a list: ["ALL"].
    keys = {key: value if isinstance(value, str) else None for key, value in pattern.items()} if pattern else None
    return Place(name, entry["property"], keys)


def _values(part: str, given: Any, places: Sequence[Place]) -> list[Any]:
    """The values of a callback's inputs or state, in order, each with the id that it must have."""
    if not isinstance(given, list) or len(given) != len(places):
        raise MalformedRequest(f"{part}: must be a list of {len(places)}")
    return [
        _value(f"{part}.{number}", value, place)
        if place.pattern is None
        else _matches(f"{part}.{number}", value, place)
        for number, (value, place) in enumerate(zip(given, places, strict=True))
    ]


def _value(where: str, given: Any, place: Place) -> dict[str, Any]:
    if not isinstance(given, dict) or given.get("id") != place.component or given.get("property") != place.attribute:
        raise MalformedRequest(f"{where}: must be {place.name}")
    value = given.get("value")
    if not KINDS.get(place.name, KINDS_OF_PROPERTIES.get(place.attribute, _is_shallow))(value):
        raise MalformedRequest(f"{where}: {place.name} has no such value")
    return {"id": place.component, "property": place.attribute, "value": value}


def _matches(where: str, given: Any, place: Place) -> list[dict[str, Any]]:
    """What fits a pattern: any number of components whose ids have the pattern's keys."""
    if not isinstance(given, list) or len(given) > MOST_BUTTONS:
        raise MalformedRequest(f"{where}: must be a list of at most {MOST_BUTTONS}")
    matches = []
    for item in given:
        name = item.get("id") if isinstance(item, dict) else None
        if not _fits(name, place.pattern or {}) or item.get("property") != place.attribute:
            raise MalformedRequest(f"{where}: must be {place.name}")
        if not KINDS_OF_PROPERTIES.get(place.attribute, _is_shallow)(item.get("value")):
            raise MalformedRequest(f"{where}: {place.name} has no such value")
        matches.append({"id": name, "property": place.attribute, "value": item.get("value")})
    return matches


def _fits(name: Any, pattern: Mapping[str, str | None]) -> bool:
    """Whether a component's id has exactly the keys of a pattern, its fixed values, and scalars elsewhere."""
    return (
        isinstance(name, dict)
        and name.keys() == pattern.keys()
        and all(_is_label(name[key]) and fixed in (None, name[key]) for key, fixed in pattern.items())
    )


def _prop_id(given: Mapping[str, Any]) -> str:
    """`id.property` as the browser writes it: a pattern's id is JSON with sorted keys and no blanks."""
    name = given["id"]
    text = name if isinstance(name, str) else json.dumps(name, sort_keys=True, separators=(",", ":"))
    return f"{text}.{given['property']}"


# The kinds of values. None is what an empty field holds.


def _is_text(longest: int) -> Callable[[Any], bool]:
    return lambda value: value is None or (isinstance(value, str) and len(value) <= longest)


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float)) or _is_text(300)(value)


def _is_label(value: Any) -> bool:
    return value is not None and _is_scalar(value)


def _is_record(longest: int = 300) -> Callable[[Any], bool]:
    """A few named scalars, as our own stores hold them."""
    fits = _is_text(longest)

    def holds(value: Any) -> bool:
        return value is None or (
            isinstance(value, dict)
            and len(value) <= 16
            and all(isinstance(item, (bool, int, float)) or fits(item) for item in value.values())
        )

    return holds


def _is_shallow(value: Any, depth: int = 3) -> bool:
    """Anything small: the rule for what has no rule of its own."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return depth > 0 and len(value) <= 500 and all(_is_shallow(item, depth - 1) for item in value)
    return _is_scalar(value) or _is_text(4000)(value)


KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "url.pathname": _is_text(2000),
    "url.search": _is_text(4000),
    "viewer.data": _is_record(),
    "tick.data": _is_scalar,
    "pulse.data": _is_record(8000),
    "asked.data": lambda value: not value or _is_record(1000)(value),
    **{
        f"{form}-{name}.value": rule
        for form in ("label", "judge")
        for name, rule in (
            ("cause", _is_text(300)),
            ("mechanism", lambda value: not value or value in MECHANISMS),
            ("warranted", lambda value: value in (None, "", "yes", "no", "unsure")),
            ("note", _is_text(4000)),
        )
    },
    "note-text.value": _is_text(20_000),
    "reopen-note.value": _is_text(4000),
    **{f"postmortem-{name}.value": _is_text(LONGEST) for name in EDITABLE},
    "status-text.value": _is_text(4000),
    "rota-yaml.value": _is_text(20_000),
    "rota-question.children": _is_text(300),
    "rota-as.value": lambda value: value in (None, "form", "yaml"),
    "dragged.data": _is_record(),
    "override-schedule.value": _is_text(64),
    "override-person.value": _is_text(64),
    "override-from.value": _is_text(100),
    "override-until.value": _is_text(100),
    "board-title.value": _is_text(300),
    "board-new.value": _is_text(300),
    "board-into.value": _is_text(100),
    "board-width.value": lambda value: value in (None, "third", "half", "full"),
    "action-text.value": _is_text(2000),
    "entry-text.value": _is_text(LONGEST),
    "handover-what.value": lambda value: value in ("snooze", "assign", "merge"),
    "handover-span.value": _is_text(10),
    "handover-person.value": _is_text(100),
    "handover-into.value": _is_text(40),
}
KINDS_OF_PROPERTIES: Final[Mapping[str, Callable[[Any], bool]]] = {"n_clicks": _is_count}
