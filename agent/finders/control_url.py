"""A service of something that speaks the control API itself, such as the demo's shop: its verbs are passed on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from agent.finder import Found, Note, WrongSetting, only, text
from agent.processes import seen, with_children
from watchkeeper.errors import AgentError

ANSWERS_WITHIN_S: Final = 35.0


class ControlUrl:
    """The service `service` behind the control API at `url`; every verb that the agent's file lists is passed on.

    `token_file` holds its token, since keepers have no environment of the agent's. Its processes are found where it
    runs on this host and reports them.
    """

    restarts = False
    verbs = frozenset({"start", "restart", "*"})  # `*`: and others, which the API lists

    def __init__(self, settings: Mapping[str, Any]) -> None:
        only(settings, "url", "service", "token_file")
        self._url = urlsplit(text(settings, "url"))
        if self._url.scheme != "http" or not self._url.hostname:
            raise WrongSetting("url", "must be the address of a control API, such as http://127.0.0.1:9000")
        self._service = text(settings, "service")
        self._settings = dict(settings)

    def lacks(self) -> str:
        try:
            self._row()
        except AgentError as error:
            return error.message
        return ""

    def find(self) -> tuple[Found, ...]:
        row = self._row()
        try:
            pid, port = int(row.get("pid") or 0), int(row.get("port") or 0)
        except (TypeError, ValueError) as error:
            raise AgentError(f"the control API describes {self._service} in another form: {error}") from error
        if pid < 2 or seen(pid) is None:
            return ()
        return (Found(pids=with_children(pid), port=port, version=str(row.get("version", ""))),)

    def act(self, verb: str, note: Note, arguments: Mapping[str, Any], key: str) -> str:  # noqa: ARG002
        offered = self._row().get("can")
        if isinstance(offered, list) and verb not in offered:
            raise AgentError(f"{self._service} does not take {verb!r}; it takes {', '.join(map(str, offered))}")
        path = f"/services/{quote(self._service, safe='')}/{quote(verb, safe='')}"
        answer = self._ask("POST", path, dict(arguments), {"Idempotency-Key": quote(key, safe=":")} if key else {})
        return str(answer.get("did", verb)) if isinstance(answer, dict) else verb

    def _row(self) -> dict[str, Any]:
        rows = self._ask("GET", f"/services?service={quote(self._service, safe='')}", None, {})
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and row.get("service") == self._service:
                return row
        raise AgentError(f"the control API at {self._url.netloc} has no service {self._service}")

    def _ask(self, method: str, path: str, body: object, headers: dict[str, str]) -> Any:
        connection = http.client.HTTPConnection(
            self._url.hostname or "", self._url.port or 80, timeout=ANSWERS_WITHIN_S
        )
        try:
            text_body = None if body is None else json.dumps(body)
            connection.request(
                method, self._url.path.rstrip("/") + path, text_body, {**self._authorization(), **headers}
            )
            response = connection.getresponse()
            answer = json.loads(response.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise AgentError(f"the control API at {self._url.netloc} does not answer: {error}", retry=True) from error
        finally:
            connection.close()
        if response.status >= 300:
            why = answer.get("error") if isinstance(answer, dict) else answer
            raise AgentError(f"the control API refuses {method} {path}: {response.status} {why}")
        return answer

    def _authorization(self) -> dict[str, str]:
        """Read anew for each question: tokens are changed."""
        if path := self._settings.get("token_file"):
            try:
                return {"Authorization": f"Bearer {Path(str(path)).read_text(encoding='ascii').strip()}"}
            except (OSError, ValueError) as error:
                raise AgentError(f"the token file {path} cannot be read: {error}") from error
        return {}
