"""The API's own description: beside each route's parameters, what it answers, and which token or session it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from alerting.incidents.machine import Incident
from dashboard.web.session import COOKIE

FURTHER_SCOPE: Final = "x-further-scope"  # in a route's `openapi_extra`
REF: Final = "#/components/schemas/"
SCHEMES: Final = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `watchkeeper token new`, with each scope that the operation names.",
    },
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A browser's session: /sign-in."},
}
ERROR: Final = {
    "type": "object",
    "description": "What is wrong, on what, and what to do.",
    "properties": {"error": {"type": "string", "minLength": 1}},
    "required": ["error"],
    "additionalProperties": False,
}
UNCHANGED: Final = {
    "type": "object",
    "description": "Nothing was changed: somebody was first, or the key was there before.",
    "properties": {"changed": {"const": False}, "message": {"type": "string"}},
    "required": ["changed", "message"],
}
ANY: Final = {
    400: "The request is not complete, or is no HTTP that can be answered.",
    401: "The token is unknown, or there is none and no session.",
    403: "The token lacks the scope, or the request came from a page of another site.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    421: "The name in Host is not that of this server.",
    422: "A parameter or the body is wrong; names its path and what is expected.",
    429: "Too many wrong tokens from this address.",
    431: "The headers are too large.",
    503: "The state database does not answer now.",
}
MISSING: Final = "There is no such record."
REFUSED: Final = "It does not fit what is there now, or nothing was changed."


def describe(app: FastAPI, *, reading_is_open: bool) -> None:
    """Let `app.openapi()` give the complete description. `reading_is_open`: whoever can reach the port may read."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, reading_is_open=reading_is_open)
        return app.openapi_schema

    # FastAPI documents this as the way to extend what it generates.
    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI, *, reading_is_open: bool) -> dict[str, Any]:
    tree = get_openapi(title=app.title, version=app.version, routes=app.routes, servers=[{"url": "/"}])
    schemas = tree["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    incident = TypeAdapter(Incident).json_schema(mode="serialization", ref_template=REF + "{model}")
    schemas |= {**incident.pop("$defs", {}), "Incident": incident, "Error": ERROR, "Unchanged": UNCHANGED}
    tree["components"]["securitySchemes"] = SCHEMES
    for path, methods in tree["paths"].items():
        for method, operation in methods.items():
            reads = method == "get"
            further = operation.pop(FURTHER_SCOPE, None)
            scopes = ["commands", further] if further else ["commands"]
            operation["security"] = [{"token": scopes}, {"session": []}]
            if reads and reading_is_open:
                operation["security"].insert(0, {})
            operation["responses"] |= _failures(path, reads=reads)
    return tree


def _failures(path: str, *, reads: bool) -> Mapping[str, Any]:
    """What a route can answer instead of what was asked for."""
    texts = dict(ANY)
    if "{" in path or not reads:
        texts[404] = MISSING
    answers = {str(status): _answer(text, {"$ref": f"{REF}Error"}) for status, text in sorted(texts.items())}
    if not reads or path.endswith("/text"):
        either = {"anyOf": [{"$ref": f"{REF}Error"}, {"$ref": f"{REF}Unchanged"}]}
        answers["409"] = _answer(REFUSED, either)
    return answers


def _answer(text: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def answers(name: str, *, many: bool = False) -> dict[str, Any]:
    """For a route's `openapi_extra`: that it answers with a schema of `components`, or with a list of it."""
    schema: dict[str, Any] = {"$ref": REF + name}
    return {"application/json": {"schema": {"type": "array", "items": schema} if many else schema}}
