"""What the routes that act share: who acts, the idempotency key, times, and a mistake in a body as one sentence."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from dashboard.web.credentials import Denied
from dashboard.web.session import NO_CREDENTIAL, denied, who
from dashboard.web.values import AS_TEXT, WITHOUT_NUL, WRITTEN
from watchkeeper.errors import ConfigError, DatabaseError, NotFound, StateError
from watchkeeper.vocabulary import Actor


def _year(at: datetime) -> datetime:
    if not 2000 <= at.year <= 2200:
        raise ValueError("the year must be from 2000 to 2200")
    return at.astimezone(UTC)


Time = Annotated[AwareDatetime, AfterValidator(_year), AS_TEXT]
WrittenLine = Annotated[str, Field(min_length=1, max_length=2000), WRITTEN]
Key = Annotated[str, Field(max_length=100), WITHOUT_NUL]


class ActingBody(BaseModel):
    """A body of a command. The same `key` again changes nothing."""

    model_config = ConfigDict(extra="forbid")

    key: Key | None = None


def acted(command: str, key: str | None, act: Callable[[Actor, str], tuple[bool, dict[str, Any]]]) -> Response:
    """What a command answers: 200, or 409 where nothing changed; 401 without a credential; 422 for a wrong value."""
    actor = who()
    if actor is None:
        return denied(Denied(status=401, text=NO_CREDENTIAL))
    try:
        changed, tree = act(actor, f"{actor.via}:{command}:{key or uuid.uuid4().hex}")
    except ConfigError as error:
        return JSONResponse({"error": error.message}, 422)
    return JSONResponse(tree, 200 if changed else 409)


def answered(do: Callable[[], dict[str, Any]], status: int = 200) -> Response:
    """What was done, or why it was not: 409 where it does not fit what is there, 422 for a wrong value."""
    try:
        return JSONResponse(do(), status)
    except ConfigError as error:
        return JSONResponse({"error": error.message}, 422)
    except (NotFound, DatabaseError):
        raise
    except StateError as error:
        return JSONResponse({"error": error.message}, 409)
