"""The step `http`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import Field, field_validator

from runbooks.placeholders import PLACEHOLDER
from runbooks.step import Call, Done, Inputs, TypedStep
from watchkeeper.errors import RunbookError
from watchkeeper.target import ServiceStatus
from watchkeeper.text import one_line

Method = Literal["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"]
SAFE: Final = ("GET", "HEAD")
# By the semantics of HTTP (RFC 9110, section 9.2.2), asking twice does what asking once does.
IDEMPOTENT: Final = (*SAFE, "PUT", "DELETE")
MOST_BYTES: Final = 1 << 20


class Request(Inputs):
    """One request. `headers_env` names environment variables with the values of secret headers.

    `idempotent`: the server does a repeated `Idempotency-Key` once, so that POST and PATCH may be asked again.
    """

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    method: Method = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    headers_env: dict[str, str] = Field(default_factory=dict)
    json_body: Annotated[Any, Field(alias="json")] = None
    idempotent: bool = False

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("must be an address that begins with http:// or https://")
        if PLACEHOLDER.search(parts.netloc):
            raise ValueError("the host must stand as it is: a placeholder could lead anywhere")
        if "@" in parts.netloc:
            raise ValueError("holds a credential; put it into a variable, and name that in headers_env")
        return url

    @property
    def repeats(self) -> bool:
        return self.idempotent or self.method in IDEMPOTENT


class HttpInputs(Request):
    """A request, which answers are good, and the request that takes it back; without, there is no undo."""

    expect_status: Annotated[tuple[int, ...], Field(max_length=20)] = ()
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    undo: Request | None = None


class HttpCall(TypedStep[HttpInputs]):
    """Send one HTTP request to a host that the policy allows.

    A redirect is not followed. A request that isn't idempotent and whose answer was lost asks a human.
    """

    inputs = HttpInputs
    example: ClassVar = {
        "url": "https://deploys.internal/api/freeze",
        "method": "PUT",
        "json": {"service": "{service}"},
    }

    def plan(self, given: HttpInputs, service: str, status: ServiceStatus | None) -> str:
        del service, status
        return f"send {given.method} {one_line(given.url)}"

    def repeats(self, given: HttpInputs) -> bool:
        return given.repeats

    def run(self, call: Call[HttpInputs]) -> Done:
        answer = _send(call, call.given)
        text = f"{call.given.method} {one_line(call.given.url)}: {answer.status_code}"
        return Done(text=text, outputs={"status": answer.status_code, "body": one_line(answer.text, 500)})

    def undo_plan(self, given: HttpInputs, service: str) -> str:
        del service
        if given.method in SAFE:
            return ""
        return f"send {given.undo.method} {one_line(given.undo.url)}" if given.undo else ""

    def undo(self, call: Call[HttpInputs]) -> str:
        if call.given.undo is None:
            return super().undo(call)
        answer = _send(call, call.given.undo)
        return f"{call.given.undo.method} {one_line(call.given.undo.url)}: {answer.status_code}"

    def undo_repeats(self, given: HttpInputs) -> bool:
        return given.undo is None or given.undo.repeats


def _send(call: Call[HttpInputs], request: Request) -> httpx.Response:
    parts = urlsplit(request.url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if not {host, f"{host}:{port}"} & set(call.around.http_hosts):
        allowed = ", ".join(call.around.http_hosts) or "none"
        raise RunbookError(
            f"{host}:{port} is none of `http_hosts` in policy.yaml ({allowed}); add it there to allow it"
        )
    secrets = {name: call.around.environment(variable) for name, variable in request.headers_env.items()}
    headers = {"Idempotency-Key": call.key, **request.headers, **secrets}
    try:
        # Not by the environment's proxies: the policy allowed this host, and no other.
        with httpx.Client(timeout=call.given.timeout_s, follow_redirects=False, trust_env=False) as client:
            answer = _read(client, request, headers)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL) as error:
        raise RunbookError(f"{host} cannot be reached: {one_line(error)}", retry=request.repeats) from error
    except httpx.HTTPError as error:
        raise RunbookError(f"{host} did not answer: {type(error).__name__}", retry=True) from error
    good = call.given.expect_status if request is call.given and call.given.expect_status else range(200, 300)
    if answer.status_code not in good:
        # A gateway's 502 or 504 says nothing about what the server behind it did.
        unsure = answer.status_code in (500, 502, 503, 504)
        raise RunbookError(f"{request.method} {one_line(request.url)}: {answer.status_code}", retry=unsure)
    return answer


def _read(client: httpx.Client, request: Request, headers: dict[str, str]) -> httpx.Response:
    """The answer with at most so many bytes of its body: a page that never ends must not fill the memory."""
    with client.stream(request.method, request.url, headers=headers, json=request.json_body) as answer:
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece[: MOST_BYTES - len(content)]
            if len(content) >= MOST_BYTES:
                break
        plain = {"content-type": answer.headers.get("content-type", "text/plain")}
        return httpx.Response(answer.status_code, headers=plain, content=bytes(content))
