"""What Slack sends back: presses, forms and `/watch`, each one command.

The signature is checked on the raw body before anything is parsed; Bolt routes; a repeat of a request carries the
same key and changes nothing. A press is recorded and then answered; a refusal is shown to whoever pressed, alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import structlog
from prometheus_client import Counter
from slack_bolt.adapter.starlette.async_handler import to_starlette_response
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from alerting.channels.slack.experiments import ExperimentButtons, ExperimentDecisions
from alerting.channels.slack.form import causes, resolve_view
from alerting.channels.slack.home import HomeTab
from alerting.channels.slack.markup import slack_text
from alerting.channels.slack.merging import MERGE, Merging
from alerting.channels.slack.owed import Owed, owed_by
from alerting.channels.slack.payloads import IGNORED, NotUnderstoodError, challenge, read_payload
from alerting.channels.slack.pressing import open_form
from alerting.channels.slack.questions import ACTION as ANSWER
from alerting.channels.slack.recorded import recorded
from alerting.channels.slack.severity import SEVERITY, SeverityForm
from alerting.channels.slack.shortcut import AddToTimeline
from alerting.channels.slack.slash import WatchCommand
from alerting.channels.slack.swap_buttons import SwapButtons
from alerting.channels.slack.watch_answers import WatchAnswers
from alerting.channels.slack.watch_words import INCIDENT
from alerting.incidents.commands import Incidents
from alerting.incidents.human_labels import Judgement, read_form
from alerting.incidents.machine import Outcome
from alerting.oncall.escalation import known_person
from watchkeeper.clock import Clock, SystemClock
from watchkeeper.config import Config
from watchkeeper.errors import WatchkeeperError
from watchkeeper.state.database import Database
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor

REQUESTS = Counter("watchkeeper_slack_requests_total", "Requests from Slack, by outcome.", ["outcome"])
REPEATS = Counter("watchkeeper_slack_repeats_total", "Requests that Slack sent again, having had no answer in time.")
FAILED = Counter("watchkeeper_slack_failures_total", "Presses and forms whose command failed after the answer.")
UNKNOWN = Counter("watchkeeper_slack_unknown_users_total", "Presses by users who are not, or not alone, configured.")
LARGEST_BODY: Final = 1 << 20  # bytes; Slack's largest payload holds a whole message, some 200 KiB
WINDOW_S: Final = 300.0  # age of a signature, as Slack recommends (docs.slack.dev, Verifying requests from Slack)
FORM: Final = "application/x-www-form-urlencoded"
NONE_OF_THESE: Final = "-"
# What the menu of a message offers beside its link: an incident, and how many seconds to snooze it.
CHOICE: Final = re.compile(r"snooze [\w-]{1,32} \d{1,6}|take [\w-]{1,32}")


def sign(secret: str, stamp: str, body: bytes) -> str:
    """Slack's signature of a body, version 0 (docs.slack.dev, Verifying requests from Slack).

    The SDK's own verifier decodes the body first, and so fails on bytes that are no text.
    """
    return "v0=" + hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()


class SlackEvents:
    """The endpoint. `question` gives one more thing to ask when an incident is resolved, or nothing."""

    def __init__(
        self,
        config: Config,
        incidents: Incidents,
        question: Callable[[str], str] = lambda _: "",
        experiments: ExperimentDecisions | None = None,
        answers: WatchAnswers | None = None,
        db: Database | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`answers` is what `/watch` answers; without, there is no such command. `db` is for the home tab and swaps."""
        self._config = config
        self._incidents = incidents
        self._question = question
        # Over Socket Mode nothing is signed, and nothing that is posted is taken.
        self._secret = "" if config.slack.socket_mode else config.slack_signing_secret()
        self._app = AsyncApp(
            client=AsyncWebClient(token=config.slack_token(), base_url=config.slack_api_url(), timeout=5),
            signing_secret=self._secret,
            request_verification_enabled=False,  # done here, on the raw body, before Bolt parses it
        )
        for action in ("acknowledge", "approve", "decline", re.compile(rf"{ANSWER}:\d+")):
            self._app.action(action)(self._press)
        self._app.action("acknowledge_all")(self._acknowledge_all)
        self._app.action("resolve")(self._ask)
        self._app.action("more")(self._choose)
        self._app.view("resolve")(self._judged)
        self._app.view("label")(self._judged)
        self._merging = Merging(incidents, self)
        self._merging.connect(self._app)
        self._severity = SeverityForm(incidents, self)
        self._severity.connect(self._app)
        AddToTimeline(incidents, self, self._name_of).connect(self._app)
        if experiments is not None:
            ExperimentButtons(experiments, self).connect(self._app)
        if answers is not None:
            WatchCommand(answers, self, config.slack_api_url()).connect(self._app)
        if db is not None:
            self._connect_home(db, clock or SystemClock())
        self._app.error(_failed)

    async def handle(self, request: Request) -> Response:
        """Answer one request from Slack."""
        if not self._secret:
            return _refuse("Socket Mode is on: nothing is taken here", 404)
        body = await request.body()
        if len(body) > LARGEST_BODY:
            return _refuse("too large", 413)
        REPEATS.inc("x-slack-retry-num" in request.headers)
        stamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        # Slack's own check takes any age below five minutes, and times in the future too: both ends count here.
        fresh = stamp.isascii() and stamp.isdigit() and abs(time.time() - int(stamp[:12])) <= WINDOW_S
        if not fresh or not hmac.compare_digest(sign(self._secret, stamp, body).encode(), signature.encode()):
            return _refuse("the signature does not match, or the request is older than five minutes", 401)
        if (asked := challenge(body)) is not None:
            return PlainTextResponse(asked)
        return await self._take(body)

    async def receive(self, kind: str, payload: Mapping[str, Any], *, is_repeat: bool) -> Response:
        """Answer what came over Socket Mode, as if it had been posted; the connection shows who sent it."""
        REPEATS.inc(is_repeat)
        body = _as_posted(kind, payload)
        return await self._take(body) if len(body) <= LARGEST_BODY else _refuse("too large", 413)

    async def _take(self, body: bytes) -> Response:
        """Answer a body whose sender is known."""
        try:
            payload = read_payload(body)
        except NotUnderstoodError as error:
            return _refuse(f"not an interaction that is understood here: {one_line(error, 200)}", 400)
        if payload["type"] in IGNORED:
            REQUESTS.labels("ok").inc()
            return PlainTextResponse("")
        # Bolt reads it once more, from bytes: those of what was checked.
        checked, kind = _as_slack_sends(payload)
        headers: dict[str, str | Sequence[str]] = {"content-type": kind}
        answer = await self._app.async_dispatch(AsyncBoltRequest(body=checked, headers=headers))
        if answer.status >= 400:
            return _refuse("this interaction is not understood", 400)
        REQUESTS.labels("ok").inc()
        return to_starlette_response(answer)

    def _names_of(self, user: str) -> list[str]:
        """Whoever of the rota has a Slack id now."""
        return [person.name for person in self._config.oncall.people if person.address("slack") == user]

    def _id_of(self, user: str) -> str:
        people = self._config.oncall.people
        return next((person.id for person in people if person.address("slack") == user), "")

    async def _press(self, ack: Any, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        actor = self.known(body["user"]["id"])
        if actor is None:
            await ack()
            await self.actor(client, body)
            return
        name, _, _ = action["action_id"].partition(":")
        key = f"slack:{action['action_id']}:{body['user']['id']}:{action['action_ts']}"
        value = _value_of(action)
        if name == "more":
            name, _, value = value.partition(" ")
        incident_id, _, rest = value.partition(" ")
        seen, _, answer = rest.partition(" ")
        until = datetime.now(UTC) + timedelta(seconds=int(seen)) if name == "snooze" else datetime.now(UTC)
        commands: dict[str, Callable[[], Outcome]] = {
            "acknowledge": lambda: self._incidents.acknowledge(incident_id, actor, key),
            "approve": lambda: self._incidents.approve(incident_id, actor, key, seen),
            "decline": lambda: self._incidents.decline(incident_id, actor, key, seen),
            "snooze": lambda: self._incidents.snooze(incident_id, actor, until, key),
            "take": lambda: self._incidents.assign(incident_id, actor, self._id_of(body["user"]["id"]), key),
            ANSWER: lambda: self._incidents.answer(incident_id, actor, key, seen, answer),
        }
        recording = await recorded(asyncio.to_thread(commands[name]), ack)
        await self.run(client, body, recording, name)

    async def _choose(self, ack: Any, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        """What was chosen in the menu of a message; a link needs no more than an answer."""
        verb, _, incident_id = _value_of(action).partition(" ")
        forms = {MERGE: self._merging.ask, SEVERITY: self._severity.ask}
        if verb in forms and INCIDENT.fullmatch(incident_id):
            await ack()
            await forms[verb](body, incident_id, client)
        elif CHOICE.fullmatch(_value_of(action)):
            await self._press(ack, body, action, client)
        else:
            await ack()

    async def _ask(self, ack: Any, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient) -> None:
        await ack()
        if await self.actor(client, body) is None:
            return
        incident_id = _value_of(action)

        def build() -> dict[str, Any] | str:
            incident = self._incidents.get(incident_id)
            if incident.is_open:
                return resolve_view(incident, self._question(incident_id))
            by = incident.resolved_by.name if incident.resolved_by else "somebody"
            return f"Already resolved by {by} at {incident.resolved_at:%H:%M:%S} UTC."

        await open_form(self, client, body, build, incident=incident_id)

    async def _judged(self, ack: Any, body: dict[str, Any], view: dict[str, Any], client: AsyncWebClient) -> None:
        incident_id, values = view["private_metadata"], view["state"]["values"]
        await ack()
        actor = await self.actor(client, body)
        if actor is None:
            return
        name = view["callback_id"]
        key = f"slack:{name}:{body['user']['id']}:{view['id']}"

        def judge() -> Outcome:
            # Slack gives back what the form offered, which for a name that Slack cannot hold is not the name itself.
            judgement = _judgement(values, causes(self._incidents.get(incident_id)))
            if name == "label":
                return self._incidents.judge(incident_id, actor, key, judgement or Judgement())
            return self._incidents.resolve(incident_id, actor, key, judgement)

        await self.run(client, body, asyncio.to_thread(judge), name)

    async def run(self, client: AsyncWebClient, body: dict[str, Any], command: Awaitable[Outcome], name: str) -> None:
        """Give a command; where it changed nothing, notify whoever pressed, with the reason."""
        try:
            outcome = await command
        except WatchkeeperError as error:
            await self.notify(client, body, error.message)
            return
        structlog.get_logger().info(
            "slack.command", command=name, incident=outcome.incident.id, changed=outcome.changed
        )
        if not outcome.changed:
            thread = await asyncio.to_thread(self._incidents.thread, outcome.incident.id, "slack")
            channel = thread.conversation if thread else ""
            await self.notify(client, body, outcome.message[:1].upper() + outcome.message[1:] + ".", channel)

    async def notify(self, client: AsyncWebClient, body: dict[str, Any], text: str, channel: str = "") -> None:
        """A message that only whoever pressed can see."""
        channel = (body.get("channel") or {}).get("id") or channel or self._config.slack.channel
        where = (body.get("message") or {}).get("thread_ts")  # in a thread, it is shown there
        try:
            await client.chat_postEphemeral(
                channel=channel, user=body["user"]["id"], text=slack_text(text, 2900), thread_ts=where
            )
        except (SlackClientError, OSError) as error:
            structlog.get_logger().warning("slack.reply_failed", error=str(error))

    async def _acknowledge_all(
        self, ack: Any, body: dict[str, Any], action: dict[str, Any], client: AsyncWebClient
    ) -> None:
        """Take every incident of a gathered message that nobody has."""
        await ack()
        actor = await self.actor(client, body)
        if actor is None:
            return
        key = f"slack:acknowledge_all:{body['user']['id']}:{action['action_ts']}"
        taken, others = await asyncio.to_thread(self._incidents.acknowledge_all, _value_of(action), actor, key)
        structlog.get_logger().info("slack.command", command="acknowledge_all", changed=len(taken), refused=len(others))
        if others or not taken:
            refused = f"; {len(others)} were taken or resolved before" if others else "; there was nothing left to take"
            await self.notify(client, body, f"You acknowledged {len(taken)} incidents{refused}.")

    def _connect_home(self, db: Database, clock: Clock) -> None:
        """The home tab, and the buttons of swaps that stand in it and in messages."""
        config = self._config

        def read(user: str) -> Owed | None:
            person = known_person(config.oncall, self.known(user))
            return owed_by(config, db, self._incidents, clock, person) if person else None

        home = HomeTab(read, self.why_unknown, config.web_url)
        home.connect(self._app)
        SwapButtons(db, lambda: config.oncall, clock, self, home.show).connect(self._app)

    def _name_of(self, user: str) -> str:
        """What the author of a message is called."""
        names = self._names_of(user)
        return names[0] if len(names) == 1 else f"Slack user {user}" if user else "an app"

    def known(self, user: str) -> Actor | None:
        """Who acts; None where the configuration knows nobody or several by that id of Slack's."""
        names = self._names_of(user)
        return Actor(name=names[0], via="slack") if len(names) == 1 else None

    def why_unknown(self, user: str) -> str:
        """Why somebody who is not known may only look, and what to do."""
        UNKNOWN.inc()
        if names := self._names_of(user):
            return (
                f"Nothing was changed: {' and '.join(names)} have the same Slack id {user} in oncall.people, so nobody "
                "can know which of them pressed. Whoever runs Watchkeeper must correct `addresses.slack`."
            )
        return (
            f"Nothing was changed: you may look, but Watchkeeper does not know you. Whoever runs it can add you to "
            f"oncall.people with addresses: {{slack: {user}}} (`watchkeeper oncall apply`)."
        )

    async def actor(self, client: AsyncWebClient, body: dict[str, Any]) -> Actor | None:
        """Who presses. None, and they are notified, where the configuration knows nobody or several by that id."""
        user = body["user"]["id"]
        if actor := self.known(user):
            return actor
        await self.notify(client, body, self.why_unknown(user))
        return None


async def _failed(error: Exception) -> None:
    """After Slack has its answer, a failure is ours to see."""
    FAILED.inc()
    structlog.get_logger().error("slack.command_failed", error=repr(error), exc_info=error)


def _as_posted(kind: str, payload: Mapping[str, Any]) -> bytes:
    """The payload of an envelope as the body that Slack would have posted."""
    if kind == "events_api":
        return json.dumps(payload).encode()
    if kind == "slash_commands":
        fields = {name: value for name, value in payload.items() if isinstance(value, str)}
        return urlencode(fields, errors="replace").encode()
    return urlencode({"payload": json.dumps(payload)}).encode()


def _as_slack_sends(payload: dict[str, Any]) -> tuple[str, str]:
    """A checked payload as a body, with its content type."""
    if payload["type"] == "event":
        return json.dumps(payload | {"type": "event_callback"}), "application/json"
    return urlencode(payload if "command" in payload else {"payload": json.dumps(payload)}), FORM


def _value_of(action: dict[str, Any]) -> str:
    return str(action.get("value") or "")


def _refuse(why: str, status: int) -> Response:
    REQUESTS.labels("refused").inc()
    return JSONResponse({"error": why}, status_code=status)


def _judgement(values: dict[str, Any], causes: Mapping[str, str]) -> Judgement | None:
    """A form's answers. `causes` are the names that the form offered, by what Slack gives back for them."""

    def chosen(name: str) -> str | None:
        option = values[name][name].get("selected_option")
        return option["value"] if option else None

    def written(name: str) -> str:
        return str(values.get(name, {}).get(name, {}).get("value") or "")

    cause = chosen("cause")
    named = None if cause in (None, NONE_OF_THESE) else causes.get(cause, cause)
    note = "\n".join(text for text in (written("note"), written("answer")) if text)
    return read_form(chosen("warranted"), named, chosen("mechanism"), note)
