"""What is read of a signed body from Slack: the parts in use here, each checked for its type, and nothing else.

A signature shows who sent a body, not that the body has the right shape. Bolt and the listeners take parts of any
kind for granted, so they are given a payload that is made anew from what was checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from watchkeeper.asgi.plain import NotPlainError, check_plain, plain_object

LONGEST: Final = 3000  # Slack's own limit for the longest of these texts
# Objects that are taken with these texts alone.
RECORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("id", "username", "name", "team_id"),
    "team": ("id", "domain"),
    "channel": ("id", "name"),
    "container": ("type", "message_ts", "channel_id", "thread_ts"),
    "message": ("ts", "thread_ts"),
}
TEXTS: Final = ("api_app_id", "trigger_id", "response_url")
# Of a slash command, whose body has no payload.
COMMAND: Final = ("command", "text", "user_id", "channel_id", "trigger_id", "response_url", "api_app_id")
# Of an event: when somebody opens the app's home tab.
EVENT: Final = ("type", "user", "tab", "channel")
ACTION: Final = ("action_id", "action_ts", "block_id", "type", "value")
VIEW: Final = ("id", "type", "callback_id", "private_metadata", "hash", "team_id")
# The forms of ours, and the fields that each has.
FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "resolve": ("warranted", "cause", "mechanism", "note"),
    "label": ("warranted", "cause", "mechanism", "note"),
    "experiment_postpone": ("at",),
    "merge": ("into",),
    "severity": ("level", "reason"),
    "swap_ask": ("taker",),
    "add_to_timeline": ("incident",),
}
LATEST: Final = 1 << 34  # seconds of a time: in the year 2514
IGNORED: Final = ("view_closed", "shortcut", "block_suggestion", "event_callback")  # nothing of ours listens


class NotUnderstoodError(ValueError):
    """A body that Slack would not send; the text names the field."""


def read_payload(body: bytes) -> dict[str, Any]:
    """The payload of a press or of a form, or the fields of a slash command.

    Raises:
        NotUnderstoodError: it has another shape.
    """
    if body[:1] == b"{":
        return _event(body)
    fields = _fields(body)
    if "command" in fields and "payload" not in fields:
        return _command(fields)
    tree = _tree(fields)
    kind = tree.get("type")
    payload: dict[str, Any] = {"type": kind}
    for name, keys in RECORDS.items():
        if tree.get(name) is not None:
            payload[name] = _record(name, tree[name], keys)
    payload |= _record("payload", tree, TEXTS)
    if not payload.get("user", {}).get("id"):
        raise NotUnderstoodError("user.id: is missing")
    match kind:
        case "block_actions":
            payload["actions"] = _actions(tree.get("actions"))
        case "view_submission":
            payload["view"] = _view(tree.get("view"))
        case "message_action":
            payload |= _shortcut(tree)
        case str() if kind in IGNORED:
            pass
        case _:
            raise NotUnderstoodError("type: is no interaction that is understood here")
    return payload


def _fields(body: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(body.decode(), max_num_fields=50)
    except ValueError as error:
        raise NotUnderstoodError("the body is no form") from error


def _tree(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """The one payload of a form."""
    given = fields.get("payload", [])
    if len(given) != 1:
        raise NotUnderstoodError("payload: must stand in the form, once")
    try:
        return plain_object(given[0])
    except NotPlainError as error:
        raise NotUnderstoodError(f"payload: {error}") from error


def _command(fields: Mapping[str, list[str]]) -> dict[str, Any]:
    """A slash command; `type` tells it apart from an interaction."""
    if twice := [name for name in COMMAND if len(fields.get(name, [])) > 1]:
        raise NotUnderstoodError(f"{twice[0]}: stands twice")
    given = {name: fields[name][0] for name in COMMAND if name in fields}
    try:
        check_plain(given, 2)
    except NotPlainError as error:
        raise NotUnderstoodError(f"command: {error}") from error
    command = _record("command", given, COMMAND)
    for name in ("command", "user_id", "trigger_id"):
        if not command.get(name):
            raise NotUnderstoodError(f"{name}: is missing")
    return {"type": "slash_command", **command}


def _event(body: bytes) -> dict[str, Any]:
    """What happened in the workspace, as far as the app subscribes to it."""
    try:
        tree = plain_object(body)
    except NotPlainError as error:
        raise NotUnderstoodError(str(error)) from error
    if tree.get("type") != "event_callback":
        raise NotUnderstoodError("type: is no event that is understood here")
    event = _record("event", tree.get("event"), EVENT)
    if event.get("type") != "app_home_opened":
        return {"type": "event_callback"}  # nothing of ours listens
    if not event.get("user"):
        raise NotUnderstoodError("event.user: is missing")
    return {"type": "event", "event": event}


def _shortcut(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A shortcut of a message. Its text may be longer than any other, and is cut."""
    given = tree.get("message")
    message = _record("message", given, ("ts", "thread_ts", "user"))
    text = given.get("text") if isinstance(given, dict) else None
    if not message.get("ts") or not isinstance(text, str | None):
        raise NotUnderstoodError("message: needs a ts, and a text if it has one")
    callback = _record("payload", tree, ("callback_id",))
    if not callback.get("callback_id"):
        raise NotUnderstoodError("callback_id: is missing")
    return callback | {"message": message | {"text": (text or "")[:LONGEST]}}


def challenge(body: bytes) -> str | None:
    """What Slack wants to read back when the request URL is configured, or None where it asks for something else."""
    try:
        event = plain_object(body)
    except NotPlainError:
        return None
    answer = event.get("challenge")
    return answer[:1000] if event.get("type") == "url_verification" and isinstance(answer, str) else None


def _record(where: str, given: Any, keys: tuple[str, ...]) -> dict[str, str]:
    """The texts of an object; what is absent, null or blank stays out."""
    if not isinstance(given, dict):
        raise NotUnderstoodError(f"{where}: must be an object")
    texts = {}
    for key in keys:
        value = given.get(key)
        if value is None:
            continue
        if not isinstance(value, str) or len(value) > LONGEST:
            raise NotUnderstoodError(f"{where}.{key}: must be a text of at most {LONGEST} characters")
        if value.strip():
            texts[key] = value
    return texts


def _actions(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, list) or not 0 < len(given) <= 25:
        raise NotUnderstoodError("actions: must be a list of 1 to 25")
    actions = [_record(f"actions.{number}", action, ACTION) for number, action in enumerate(given)]
    for number, raw in enumerate(given):
        if (chosen := raw.get("selected_option")) is not None:  # of a menu: what a button has as its value
            actions[number].update(_record(f"actions.{number}.selected_option", chosen, ("value",)))
    for number, action in enumerate(actions):
        for key in ("action_id", "action_ts"):
            if not action.get(key):
                raise NotUnderstoodError(f"actions.{number}.{key}: is missing")
        # Bolt tells kinds of requests apart by these.
        action.setdefault("type", "button")
        action.setdefault("block_id", "")
    return actions


def _view(given: Any) -> dict[str, Any]:
    view: dict[str, Any] = {"type": "modal"} | _record("view", given, VIEW)
    for key in ("id", "callback_id"):
        if not view.get(key):
            raise NotUnderstoodError(f"view.{key}: is missing")
    asked = FORMS.get(view["callback_id"])
    if asked is None:
        return view  # nothing of ours listens
    if "private_metadata" not in view:
        raise NotUnderstoodError("view.private_metadata: is missing")
    state = given.get("state")
    values = state.get("values") if isinstance(state, dict) else None
    if not isinstance(values, dict) or len(values) > 100:
        raise NotUnderstoodError("view.state.values: must be an object of at most 100")
    view["state"] = {"values": {name: _block(f"view.state.values.{name}", block) for name, block in values.items()}}
    for name in asked:
        if name not in view["state"]["values"].get(name, {}):
            raise NotUnderstoodError(f"view.state.values.{name}: is missing")
    return view


def _block(where: str, given: Any) -> dict[str, dict[str, Any]]:
    """One field of a form: what was written, or what was chosen."""
    if not isinstance(given, dict) or len(given) > 10:
        raise NotUnderstoodError(f"{where}: must be an object")
    fields: dict[str, dict[str, Any]] = {}
    for name, field in given.items():
        fields[name] = dict(_record(f"{where}.{name}", field, ("type", "value")))
        chosen = field.get("selected_option")
        option = _record(f"{where}.{name}.selected_option", chosen, ("value",)) if chosen is not None else None
        if option is not None and "value" not in option:
            raise NotUnderstoodError(f"{where}.{name}.selected_option.value: is missing")
        fields[name]["selected_option"] = option
        if (at := field.get("selected_date_time")) is not None:
            if not isinstance(at, int) or isinstance(at, bool) or not 0 < at < LATEST:
                raise NotUnderstoodError(f"{where}.{name}.selected_date_time: must be a time in seconds")
            fields[name]["selected_date_time"] = at
    return fields
