"""Change events: what POST /api/v1/changes takes, from a deploy script or a flag service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from collectors.otlp import MalformedError
from watchkeeper.vocabulary import ChangeEvent, content_key

Text = Annotated[str, Field(max_length=4000)]


class ChangeBody(BaseModel):
    """The body of a request. Without `at`, the change happened now; without `id`, its content names it."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["deploy", "flag", "config", "commit"]
    service: Annotated[str, Field(min_length=1, max_length=255)]
    title: Annotated[str, Field(min_length=1, max_length=500)]
    id: Annotated[str, Field(max_length=255)] | None = None
    at: datetime | None = None
    version: Text = ""
    author: Text = ""
    url: Text = ""
    files: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    attributes: dict[str, str] = {}


def parse_change(body: Any, now: datetime) -> ChangeEvent:
    """A change event from a decoded JSON body.

    Raises:
        MalformedError: names each wrong key and what it should be.
    """
    try:
        given = ChangeBody.model_validate(body)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()]
        raise MalformedError("not a change event: " + "; ".join(wrong)) from error
    at = given.at or now
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return ChangeEvent(
        id=given.id or content_key(given.kind, given.service, given.title, given.version, at.isoformat()),
        at=at,
        kind=given.kind,
        service=given.service,
        title=given.title,
        version=given.version,
        author=given.author,
        url=given.url,
        files=given.files,
        attributes=given.attributes,
    )
