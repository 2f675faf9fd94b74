"""The scripted human: reads the messages that the Slack stand-in shows, and presses their buttons.

Every press becomes the same signed request that Slack would send. The human knows no more of Watchkeeper than
the messages contain. A person finds the real cause by looking; the script gets it as an argument.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos.demo.processes import Patience

NOTICES_AFTER_S = 1.0  # after a page: a fast human
READS_FOR_S = 2.0  # before approving a runbook
LOOKS_EVERY_S = 0.4  # at the channel
GIVES_UP_AFTER_S = 90.0  # waiting for recovery; then they resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The human's judgement of an incident at its end: `cause` is None for a false page.

    With `leaves_runbook`, the human neither approves nor declines: the policy may.
    """

    cause: str | None
    mechanism: str
    note: str
    leaves_runbook: bool = False


@dataclass(slots=True)
class _Page:
    """One message and what the human has done about it."""

    seen_at: float
    done: set[str] = field(default_factory=set)
    acknowledged_at: float = 0.0
    refusals: list[str] = field(default_factory=list)


class ScriptedHuman:
    """Acknowledges, reads, approves, waits for recovery, resolves with a label."""

    def __init__(self, stand_in_url: str, patience: Patience, verdict: Callable[[float], Verdict]) -> None:
        """`verdict` is asked with the Unix time at which the message was posted."""
        self._client = httpx.Client(base_url=stand_in_url, timeout=12.0)
        self._patience = patience
        self._verdict = verdict
        self._pages: dict[str, _Page] = {}
        self._thread = threading.Thread(target=self._live, name="human", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join(15)
        self._client.close()

    @property
    def refusals(self) -> list[str]:
        """Presses that the stand-in or Watchkeeper refused, for the report."""
        return [refusal for page in self._pages.values() for refusal in page.refusals]

    def _live(self) -> None:
        while not self._patience.over:
            try:
                board = self._client.get("/standin/messages").json()
                for message in board["messages"]:
                    self._attend(board["channel"]["id"], message)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                self._pages.setdefault("-", _Page(seen_at=0)).refusals.append(f"reading messages: {error!r}")
            time.sleep(LOOKS_EVERY_S)

    def _attend(self, channel: str, message: Mapping[str, Any]) -> None:
        now = time.time()
        page = self._pages.setdefault(message["ts"], _Page(seen_at=now))
        buttons = _buttons(message)
        if "acknowledge" in buttons and "acknowledge" not in page.done:
            if now - page.seen_at >= NOTICES_AFTER_S and self._press(page, channel, message, "acknowledge"):
                page.acknowledged_at = now
            return
        if not page.acknowledged_at or "resolve" in page.done:
            return
        tired = now - page.acknowledged_at > GIVES_UP_AFTER_S
        if "approve" in buttons and not page.done & {"approve", "decline"} and not tired:
            if now - page.acknowledged_at >= READS_FOR_S:
                looked = self._verdict(float(message["ts"]))
                if not looked.leaves_runbook:
                    self._press(page, channel, message, "approve" if looked.cause else "decline")
            return
        if "resolve" in buttons and (_has_recovered(message) or tired):
            self._resolve(page, channel, message)

    def _press(self, page: _Page, channel: str, message: Mapping[str, Any], action: str) -> Mapping[str, Any] | None:
        answer = self._post(
            page, "/standin/press", {"channel": channel, "ts": message["ts"], "action_id": action, "user": "U0ANA"}
        )
        if answer is not None:
            page.done.add(action)
        return answer

    def _resolve(self, page: _Page, channel: str, message: Mapping[str, Any]) -> None:
        opened = self._press(page, channel, message, "resolve")
        if opened is None:
            return
        view = opened.get("view")
        if not view:
            page.done.discard("resolve")
            page.refusals.append("resolve opened no form")
            return
        verdict = self._verdict(float(message["ts"]))
        values = {"warranted": "yes" if verdict.cause else "no", "note": verdict.note}
        offered = _options(view, "cause")
        values["cause"] = verdict.cause if verdict.cause in offered else "-"
        if verdict.cause and verdict.mechanism in _options(view, "mechanism"):
            values["mechanism"] = verdict.mechanism
        sent = self._post(page, "/standin/submit", {"view_id": view["id"], "values": values, "user": "U0ANA"})
        if sent is None:
            page.done.discard("resolve")

    def _post(self, page: _Page, path: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        try:
            answer = self._client.post(path, json=body)
        except httpx.HTTPError as error:
            page.refusals.append(f"{path}: {error!r}")
            return None
        if answer.is_error:
            page.refusals.append(f"{path}: {answer.status_code} {answer.text[:200]}")
            return None
        result: Mapping[str, Any] = answer.json()
        return result


def _buttons(message: Mapping[str, Any]) -> set[str]:
    return {
        element.get("action_id", "")
        for block in message.get("blocks") or []
        if block.get("type") == "actions"
        for element in block.get("elements", [])
    }


def _has_recovered(message: Mapping[str, Any]) -> bool:
    """Whether the message's header reports recovery."""
    headers = [block["text"]["text"] for block in message.get("blocks") or [] if block.get("type") == "header"]
    return any("recovered" in header.lower() for header in headers)


def _options(view: Mapping[str, Any], block_id: str) -> set[str]:
    return {
        option["value"]
        for block in view["blocks"]
        if block.get("block_id") == block_id
        for option in block["element"].get("options", [])
    }
