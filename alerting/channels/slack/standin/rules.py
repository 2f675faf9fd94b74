"""What Slack refuses, refused here too, with Slack's own error codes.

The SDK's models know much of Block Kit; this adds the limits that only the server enforces.
Source: Slack's Block Kit reference (limits per block and element).
"""

from __future__ import annotations

from typing import Any, Final

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

KNOWN: Final = frozenset({"header", "section", "context", "actions", "divider", "input", "image", "rich_text"})
MESSAGE_BLOCKS: Final = 50
VIEW_BLOCKS: Final = 100
KEYS: Final = {
    "header": {"type", "text", "block_id", "level"},
    "section": {"type", "text", "fields", "accessory", "block_id", "expand"},
    "context": {"type", "elements", "block_id"},
    "actions": {"type", "elements", "block_id"},
    "divider": {"type", "block_id"},
    "input": {"type", "label", "element", "block_id", "hint", "optional", "dispatch_action"},
}


class RuleError(ValueError):
    """Slack would answer `ok: false` with this code; `details` go into response_metadata."""

    def __init__(self, code: str, *details: str) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


def check_blocks(blocks: Any, *, in_view: bool = False) -> None:
    """Raise RuleError unless Slack would take these blocks."""
    if not isinstance(blocks, list):
        raise RuleError("invalid_blocks_format")
    if len(blocks) > (VIEW_BLOCKS if in_view else MESSAGE_BLOCKS):
        raise RuleError("invalid_blocks", f"no more than {VIEW_BLOCKS if in_view else MESSAGE_BLOCKS} items allowed")
    seen_blocks: set[str] = set()
    for number, block in enumerate(blocks):
        where = f"[json-pointer:/blocks/{number}]"
        if not isinstance(block, dict) or block.get("type") not in KNOWN:
            raise RuleError("invalid_blocks", f"unsupported type {where}")
        unknown = set(block) - KEYS.get(block["type"], set(block))
        if unknown:
            raise RuleError("invalid_blocks", f"invalid additional property: {min(unknown)} {where}")
        if block["type"] == "input" and not in_view:
            raise RuleError("invalid_blocks", f"input is for views here {where}")
        name = block.get("block_id")
        if name in seen_blocks:
            raise RuleError("invalid_blocks", f"block_id {name} already exists {where}")
        if name:
            seen_blocks.add(name)
        _check_model(block, where)
        _check_texts(block, where)
    _check_actions(blocks)


def check_view(view: Any) -> None:
    """Raise RuleError unless Slack would open this modal."""
    if not isinstance(view, dict) or view.get("type") not in ("modal", "home"):
        raise RuleError("invalid_arguments", "view must be a modal or a home tab")
    for key in ("title", "submit", "close"):
        text = view.get(key)
        if text and (text.get("type") != "plain_text" or not 0 < len(text.get("text", "")) <= 24):
            raise RuleError("invalid_arguments", f"{key} must be plain text of 1 to 24 characters")
    if any(block.get("type") == "input" for block in view.get("blocks", [])) and not view.get("submit"):
        raise RuleError("invalid_arguments", "a view with inputs needs submit")
    if len(view.get("private_metadata", "")) > 3000:
        raise RuleError("invalid_arguments", "private_metadata is over 3000 characters")
    check_blocks(view.get("blocks"), in_view=True)
    try:
        View(**view).to_dict()
    except (SlackObjectFormationError, TypeError) as error:
        raise RuleError("invalid_arguments", str(error)) from error


def _check_model(block: dict[str, Any], where: str) -> None:
    try:
        model = Block.parse(block)
        if model is not None:
            model.to_dict()
    except (SlackObjectFormationError, TypeError, KeyError, AttributeError) as error:
        raise RuleError("invalid_blocks", f"{error} {where}") from error


def _check_texts(block: dict[str, Any], where: str) -> None:
    texts: list[tuple[Any, int, bool]] = []
    match block["type"]:
        case "header":
            texts.append((block.get("text"), 150, True))
        case "section":
            if not block.get("text") and not block.get("fields"):
                raise RuleError("invalid_blocks", f"section needs text or fields {where}")
            texts += [(block["text"], 3000, False)] if block.get("text") else []
            if len(block.get("fields") or []) > 10:
                raise RuleError("invalid_blocks", f"no more than 10 fields {where}")
            texts += [(field, 2000, False) for field in block.get("fields") or []]
        case "context":
            elements = block.get("elements") or []
            if not 0 < len(elements) <= 10:
                raise RuleError("invalid_blocks", f"context takes 1 to 10 elements {where}")
            texts += [(element, 3000, False) for element in elements if element.get("type") != "image"]
        case "actions":
            elements = block.get("elements") or []
            if not 0 < len(elements) <= 25:
                raise RuleError("invalid_blocks", f"actions takes 1 to 25 elements {where}")
            for button in (element for element in elements if element.get("type") == "button"):
                texts += _button(button, where)
        case "input":
            texts.append((block.get("label"), 2000, True))
    for text, limit, plain_only in texts:
        _check_text(text, limit, where, plain_only=plain_only)


def _button(button: dict[str, Any], where: str) -> list[tuple[Any, int, bool]]:
    """A button's texts and those of its confirmation dialog, with their limits (Block Kit reference)."""
    if len(button.get("value") or "") > 2000 or len(button.get("action_id") or "") > 255:
        raise RuleError("invalid_blocks", f"value or action_id is too long {where}")
    texts = [(button["text"], 75, True)]
    given = button.get("confirm")
    if given is None:
        return texts
    limits = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
    if not isinstance(given, dict) or not limits.keys() <= given.keys() <= limits.keys() | {"style"}:
        raise RuleError("invalid_blocks", f"confirm takes {', '.join(limits)} {where}")
    return texts + [(given[name], limit, True) for name, limit in limits.items()]


def _check_text(text: Any, limit: int, where: str, *, plain_only: bool) -> None:
    allowed = ("plain_text",) if plain_only else ("plain_text", "mrkdwn")
    if not isinstance(text, dict) or text.get("type") not in allowed:
        raise RuleError("invalid_blocks", f"text must be {' or '.join(allowed)} {where}")
    if not 0 < len(text.get("text") or "") <= limit:
        raise RuleError("invalid_blocks", f"must be 1 to {limit} characters {where}")


def _check_actions(blocks: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for block in blocks:
        elements = block.get("elements") or [] if block["type"] == "actions" else [block.get("element") or {}]
        for element in elements:
            name = element.get("action_id")
            if name in seen:
                raise RuleError("invalid_blocks", f"action_id {name} already exists")
            if name:
                seen.add(name)
