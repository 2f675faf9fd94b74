"""Sensible payloads for every door but OTLP's, and their senseless kin."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final
from urllib.parse import quote, urlencode

from tests.fuzz.mutations import damaged, hostile, hostile_text, mutated, text_of
from watchkeeper.config import Config

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
COMMANDS: Final = ("acknowledge", "resolve", "label", "approve", "decline", "nothing")


# Buttons of Slack's messages.
ACTIONS = ("acknowledge", "resolve", "decline", "more", "approve", "split", "swap_accept")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One request. `port` names the application: web, standin or ingest."""

    door: str
    port: str
    method: str
    path: str
    query: bytes = b""
    headers: Mapping[str, str | bytes] = field(default_factory=dict)
    body: bytes = b""


class Doors:
    """Makes payloads. `callbacks` are requests as the pages send them, `incident_id` names an open incident."""

    def __init__(self, config: Config, random: Random, callbacks: list[dict[str, Any]], incident_id: str) -> None:
        self._config = config
        self._random = random
        self._callbacks = callbacks
        self._incident_id = incident_id
        self._token = config.secret("commands")
        self._slack_token = config.slack_token()
        self._signing = config.slack_signing_secret()
        self._calendar = config.secret("calendar")
        self.makers: dict[str, Callable[[], Payload]] = {
            "alerts": self._alerts,
            "changes": self._changes,
            "slack": self._slack,
            "api": self._api,
            "rota": self._rota,
            "callbacks": self._callback,
            "sign-in": self._sign_in,
            "stand-in": self._stand_in,
            "presses": self._press,
            "calendar": self._calendar_feed,
            "addresses": self._address,
        }

    def next(self) -> Payload:
        """One payload for one of the doors."""
        return self.makers[self._random.choice(tuple(self.makers))]()

    def _authorized(self) -> dict[str, str | bytes]:
        return {"authorization": f"Bearer {self._token}"}

    def _json(self, door: str, port: str, path: str, tree: Any, headers: Mapping[str, str | bytes]) -> Payload:
        random = self._random
        kind = JSON if random.random() < 0.97 else hostile_text(random)[:200].encode("utf-8", "replace")
        body = text_of(random, mutated(random, tree))
        return Payload(
            door=door, port=port, method="POST", path=path, headers={"content-type": kind, **headers}, body=body
        )

    def _alerts(self) -> Payload:
        alert = {
            "status": self._random.choice(("firing", "resolved")),
            "labels": {"alertname": "HighLatency", "service": f"s{self._random.randrange(9)}", "severity": "page"},
            "annotations": {"summary": "p99 over 2 s", "description": "for 5 minutes"},
            "startsAt": "2026-11-29T03:12:00.123Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph",
            "fingerprint": f"{self._random.getrandbits(64):016x}",
        }
        tree = {
            "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "wk",
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am",
            "alerts": [alert],
        }  # fmt: skip
        return self._json("alerts", "ingest", "/api/v1/alerts/alertmanager", tree, self._authorized())

    def _changes(self) -> Payload:
        tree = {
            "id": f"d-{self._random.randrange(50)}", "at": "2026-11-29T03:10:00Z", "kind": "deploy", "service": "web",
            "title": "v42", "version": "42", "author": "ana", "url": "http://ci/42", "files": ["a.py"],
            "attributes": {"commit": "abc"},
        }  # fmt: skip
        return self._json("changes", "ingest", "/api/v1/changes", tree, self._authorized())

    def _slack(self) -> Payload:
        random = self._random
        user = {"id": random.choice(("UANA", "UBEN", "UNOBODY")), "username": "ana", "team_id": "T0LOCAL"}
        base = {"user": user, "team": {"id": "T0LOCAL", "domain": "local"}, "api_app_id": "A0", "trigger_id": "1.2"}
        action = {
            "action_id": random.choice(ACTIONS), "block_id": "b",
            "type": "button", "value": self._incident_id, "action_ts": f"{random.random() * 1e9:.6f}",
        }  # fmt: skip
        values = {
            "warranted": {"warranted": {"type": "static_select", "selected_option": {"value": "yes"}}},
            "cause": {"cause": {"type": "static_select", "selected_option": {"value": "payments"}}},
            "mechanism": {"mechanism": {"type": "static_select", "selected_option": {"value": "deploy"}}},
            "note": {"note": {"type": "plain_text_input", "value": "x"}},
        }
        view = {
            "id": "V1", "type": "modal", "callback_id": "resolve", "private_metadata": self._incident_id,
            "state": {"values": values}, "hash": "1",
        }  # fmt: skip
        press = base | {
            "type": "block_actions", "channel": {"id": "C0INCIDENTS"}, "container": {"type": "message"},
            "message": {"ts": "1.0"}, "actions": [action],
        }  # fmt: skip
        event = {"type": "event_callback", "event": {"type": "app_home_opened", "user": user["id"], "tab": "home"}}
        shortcut = base | {
            "type": "message_action", "callback_id": "add_to_timeline", "channel": {"id": "C0INCIDENTS"},
            "message": {"ts": "1.0", "text": "x", "user": user["id"]},
        }  # fmt: skip
        tree = random.choice(
            (
                press, base | {"type": "view_submission", "view": view}, shortcut, event,
                {"type": "url_verification", "challenge": "c"},
            )
        )  # fmt: skip
        text = text_of(random, mutated(random, tree))
        orders = ("status", "who x", "ask why is x slow?", "mute x for 1h because y", hostile_text(random)[:200])
        order = {
            "command": "/watch", "text": random.choice(orders), "user_id": user["id"], "trigger_id": "1.2",
            "response_url": "https://evil.example/", "channel_id": "C0INCIDENTS",
        }  # fmt: skip
        body = {
            0: text,  # JSON where a form belongs
            1: b"payload=" + quote(text).encode() + b"&payload=" + quote(text).encode(),
            2: urlencode({hostile_text(random).encode("utf-8", "replace"): text}).encode(),
            3: damaged(random, b"payload=" + quote(text).encode()),
            4: b"payload=" + text,
            5: urlencode(order, errors="replace").encode(),
            6: damaged(random, urlencode(order, errors="replace").encode()),
        }.get(random.randrange(14), b"payload=" + quote(text).encode())
        stamp = str(int(time.time())) if random.random() < 0.95 else hostile_text(random).replace("\n", "")[:100]
        signature = (
            "v0="
            + hmac.new(
                self._signing.encode(), b"v0:" + stamp.encode("utf-8", "replace") + b":" + body, hashlib.sha256
            ).hexdigest()
        )
        headers = {
            "content-type": random.choice((FORM, FORM, JSON, "text/plain", "")),
            "x-slack-request-timestamp": stamp.encode("utf-8", "replace"),
            "x-slack-signature": signature,
        }
        return Payload(door="slack", port="web", method="POST", path="/slack/events", headers=headers, body=body)

    def _api(self) -> Payload:
        random = self._random
        tree = {
            "key": f"k{random.randrange(1000)}",
            "label": {"warranted": True, "cause": "payments", "mechanism": "deploy", "note": "x"},
        }
        incident = self._incident_id if random.random() < 0.7 else _segment(hostile_text(random))
        if random.random() < 0.2:
            query = urlencode(
                {"state": random.choice(("open", hostile_text(random))), "limit": hostile_text(random)},
                errors="replace",
            )
            path = random.choice(("/api/v1/incidents", f"/api/v1/incidents/{incident}", f"/api/{incident}"))
            return Payload(
                door="api", port="web", method=random.choice(("GET", "HEAD", "PUT")), path=path, query=query.encode()
            )
        path = f"/api/v1/incidents/{incident}/{random.choice(COMMANDS)}"
        claim = {
            "x-watchkeeper-actor": hostile_text(random)
            .encode("utf-8", "replace")
            .replace(b"\n", b"")
            .replace(b"\r", b"")
        }
        return self._json("api", "web", path, tree, self._authorized() | (claim if random.random() < 0.2 else {}))

    def _rota(self) -> Payload:
        """Objects of the rota and overrides, as a program changes them."""
        random = self._random
        name = random.choice(("eve", "night", "oncall", _segment(hostile_text(random))))
        kind, value = random.choice(
            (
                ("people", {"name": "Eve", "addresses": {"slack": "UEVE"}, "timezone": "Asia/Tokyo"}),
                ("schedules", {"layers": [{"people": ["oncall"], "turn_hours": 12, "hours": "09:00-17:00"}]}),
                ("policies", {"services": ["pay-*"], "steps": [{"after_s": 0, "notify": ["primary"]}]}),
                ("teams", ["pay-*"]),
            )
        )
        if random.random() < 0.3:
            tree = {"schedule": "primary", "person": "oncall", "start": "2026-12-01T00:00:00Z"}
            path, body = "/api/v1/oncall/overrides", tree | {"end": "2026-12-02T00:00:00Z"}
            return self._json("rota", "web", path, body, self._authorized())
        path = f"/api/v1/oncall/{kind}/{name}"
        payload = self._json("rota", "web", path, {"value": value}, self._authorized())
        return replace(payload, method=random.choice(("PUT", "PUT", "PUT", "DELETE")))

    def _callback(self) -> Payload:
        random = self._random
        tree = random.choice(self._callbacks)
        if random.random() < 0.4:  # only values: what gets past the check of shapes
            tree = json.loads(json.dumps(tree))
            parts = [one for part in ("inputs", "state") for one in tree.get(part, []) if isinstance(one, dict)]
            for one in parts:
                if random.random() < 0.4:
                    one["value"] = mutated(random, one["value"], 1) if random.random() < 0.5 else hostile(random)
                if one["id"] == "url" and one["property"] == "search" and random.random() < 0.5:
                    one["value"] = "?" + urlencode(
                        {
                            k: hostile_text(random)
                            for k in random.sample(("from", "to", "range", "service", "state"), 2)
                        },
                        errors="replace",
                    )
                if one["id"] == "url" and one["property"] == "pathname" and random.random() < 0.5:
                    one["value"] = random.choice(
                        ("/incidents/", "/traces/", "/services", "/oncall", "/")
                    ) + hostile_text(random)
            body = text_of(random, tree)
        else:
            body = text_of(random, mutated(random, tree))
        session = {"cookie": self.cookie} if random.random() < 0.8 else {}
        headers = {"content-type": JSON, **session}
        return Payload(
            door="callbacks", port="web", method="POST", path="/_dash-update-component", headers=headers, body=body
        )

    cookie: str = ""

    def _sign_in(self) -> Payload:
        random = self._random
        fields: dict[str, Any] = {"token": self._token, "as": "oncall", "onward": "/"}
        for key in random.sample(sorted(fields), random.randrange(3)):
            fields[key] = hostile_text(random).encode("utf-8", "surrogatepass")
        fields["token"] = self._token  # wrong ones would be slowed, as they should be
        body = urlencode(fields).encode()
        kind = FORM
        if random.random() < 0.3:
            kind = "multipart/form-data; boundary=b" + (hostile_text(random)[:20] if random.random() < 0.3 else "")
            body = (
                b"".join(
                    b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
                    % (
                        key.encode(),
                        b'; filename="x"' if random.random() < 0.1 else b"",
                        str(value).encode("utf-8", "replace"),
                    )
                    for key, value in fields.items()
                )
                + b"--b--\r\n"
            )
        if random.random() < 0.2:
            body = damaged(random, body).replace(b"token=", b"")
        headers = {"content-type": kind.encode("utf-8", "replace").replace(b"\n", b" ").replace(b"\r", b" ")}
        return Payload(door="sign-in", port="web", method="POST", path="/sign-in", headers=headers, body=body)

    def _stand_in(self) -> Payload:
        random = self._random
        blocks = [
            {"type": "header", "text": {"type": "plain_text", "text": "Payments"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": "*x*"}, "fields": [{"type": "mrkdwn", "text": "y"}]},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": "z"}]},
            {"type": "actions", "elements": [
                {"type": "button", "action_id": "ack", "text": {"type": "plain_text", "text": "Ack"}, "value": "i"}
            ]},
        ]  # fmt: skip
        view = {
            "type": "modal", "callback_id": "resolve", "title": {"type": "plain_text", "text": "t"},
            "submit": {"type": "plain_text", "text": "s"}, "private_metadata": "i",
            "blocks": [{
                "type": "input", "block_id": "note", "label": {"type": "plain_text", "text": "l"},
                "element": {"type": "plain_text_input", "action_id": "note"},
            }],
        }  # fmt: skip
        room = {"channel": "C0INCIDENTS"}
        message = room | {"text": "x", "blocks": blocks, "metadata": {"event_type": "e", "event_payload": {"i": 1}}}
        trees: dict[str, Any] = {
            "chat.postMessage": message | {"thread_ts": ""},
            "chat.update": message | {"ts": "1.000000"},
            "chat.postEphemeral": room | {"user": "UANA", "text": "x"},
            "views.open": {"trigger_id": "1.2", "view": view},
            "conversations.list": {},
            "conversations.history": room | {"limit": 3, "oldest": "0", "cursor": ""},
            "conversations.replies": room | {"ts": "1.0", "limit": 3},
            "users.info": {"user": "UANA"},
            "auth.test": {},
        }
        name = random.choice(sorted(trees))
        authorized: dict[str, str | bytes] = {"authorization": f"Bearer {self._slack_token}"}
        if random.random() < 0.25:
            tree = mutated(random, trees[name])
            tree = tree if isinstance(tree, dict) else {"x": tree}
            pairs = {
                str(key).encode("utf-8", "replace"): (v if isinstance(v, str) else json.dumps(v)).encode(
                    "utf-8", "replace"
                )
                for key, v in tree.items()
            }
            headers = {"content-type": FORM, **authorized}
            return Payload(
                door="stand-in",
                port="standin",
                method="POST",
                path=f"/api/{name}",
                headers=headers,
                body=urlencode(pairs).encode(),
            )
        return self._json("stand-in", "standin", f"/api/{name}", trees[name], authorized)

    def _press(self) -> Payload:
        trees = {
            "/standin/press": {"channel": "C0INCIDENTS", "ts": "1.0", "action_id": "acknowledge", "user": "UANA"},
            "/standin/submit": {"view_id": "V1", "values": {"note": "x"}, "user": "UANA"},
            "/standin/trouble": {"method": "chat.nothing", "kind": "ratelimited", "times": 1, "retry_after_s": 0.1},
            "/standin/delete": {"channel": "C0INCIDENTS", "ts": "1.0"},
            "/standin/command": {"text": "status", "user": "UANA"},
            "/standin/home": {"user": "UANA"},
            "/standin/shortcut": {"channel": "C0INCIDENTS", "ts": "1.0", "text": "x", "user": "UANA"},
        }
        path = self._random.choice(sorted(trees))
        return self._json("presses", "standin", path, trees[path], {})

    def _calendar_feed(self) -> Payload:
        random = self._random
        token = self._calendar if random.random() < 0.7 else _segment(hostile_text(random))
        schedule = "primary" if random.random() < 0.3 else hostile_text(random)
        query = urlencode({"schedule": schedule}, errors="replace").encode()
        return Payload(door="calendar", port="web", method="GET", path=f"/calendar/{token}.ics", query=query)

    def _address(self) -> Payload:
        """Any address of any port, by any method, under any host, with odd headers."""
        random = self._random
        port = random.choice(("web", "standin", "ingest"))
        known = {
            "web": ("/", "/healthz", "/readyz", "/metrics", "/sign-in", "/assets/", "/_dash-layout",
                    "/_dash-dependencies",
                    "/_dash-component-suites/dash/deps/", "/_dash-component-suites/", "/_reload-hash", "/_favicon.ico",
                    "/incidents/", "/api/openapi.json", "/_dash-ws-callback", "/_dash-update-component", "/sign-out"),
            "standin": ("/", "/healthz", "/standin/messages", "/api/", "/page.js", "/metrics", "/standin/press"),
            "ingest": ("/", "/healthz", "/readyz", "/metrics", "/api/v1/", "/api/v1/changes"),
        }[port]  # fmt: skip
        path = random.choice(known) + (_segment(hostile_text(random)) if random.random() < 0.7 else "")
        headers: dict[str, str | bytes] = {}
        for name in random.sample(
            ("host", "origin", "cookie", "authorization", "accept-encoding", "range", "if-none-match", "content-type",
             "if-modified-since", "x-forwarded-host", "accept"), random.randrange(4)
        ):  # fmt: skip
            value = (
                hostile_text(random)
                .encode("utf-8", "replace")
                .replace(b"\n", b"")
                .replace(b"\r", b"")
                .replace(b"\0", b"")
            )
            prefix = {"cookie": b"watchkeeper_session=", "range": b"bytes=", "authorization": b"Basic "}.get(name, b"")
            headers[name] = prefix + value
        query = b"" if random.random() < 0.7 else quote(hostile_text(random), errors="replace").encode()
        method = random.choice(("GET", "GET", "HEAD", "OPTIONS", "DELETE", "PATCH", "POST", "BREW"))
        query = b"" if query.startswith(b"token") else query
        return Payload(door="addresses", port=port, method=method, path=path, query=query, headers=headers)


def _segment(text: str) -> str:
    """A text as a server decodes it from a path: never half a character."""
    return text.encode("utf-8", "replace").decode()
