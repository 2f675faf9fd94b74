"""Change events: what POST /api/v1/changes takes, from a deploy script or a flag service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from collectors.receivers.rejections import MalformedError
from collectors.source import SourceContext
from collectors.webhooks.instants import parse_instant
from watchkeeper.names import storable
from watchkeeper.vocabulary import ChangeEvent, ChangeKind, content_key

PATH: Final = "/api/v1/changes"
EARLIEST: Final = timedelta(days=3653)
LATEST: Final = timedelta(days=1)
SHOWN: Final = 10  # wrong keys that an answer names


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text.strip()


def _instant(value: Any) -> datetime | None:
    return None if value is None else parse_instant(value)


Stored = AfterValidator(storable)
Text = Annotated[str, Field(max_length=4000), Stored]
Name = Annotated[str, Field(max_length=255), AfterValidator(_not_blank), Stored]


class ChangeBody(BaseModel):
    """The body of a request. Without `at`, the change happened now; without `id`, its content names it."""

    model_config = ConfigDict(extra="forbid")

    kind: ChangeKind
    service: Name
    title: Annotated[str, Field(max_length=500), AfterValidator(_not_blank), Stored]
    id: Annotated[str, Field(max_length=255), AfterValidator(str.strip), Stored] | None = None
    at: Annotated[datetime | None, BeforeValidator(_instant)] = None
    version: Text = ""
    author: Text = ""
    url: Text = ""
    files: Annotated[tuple[Text, ...], Field(max_length=1000)] = ()
    attributes: Annotated[dict[Name, Text], Field(max_length=100)] = {}


class ChangeEvents:
    """Change events (deploys, flags, configuration, commits), posted as JSON."""

    section = "ingest"

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        context.http.add_json(PATH, self.take, scope="changes")

    def run(self) -> None:
        """The port does the work."""
        self._context.stop.wait()

    def take(self, body: Any) -> dict[str, Any]:
        """Keep one change event.

        Raises:
            MalformedError: not a change event; names each wrong key.
            DatabaseError: it could not be kept; send it again.
        """
        change = parse_change(body, datetime.now(UTC))
        return {"id": change.id, "new": self._context.sinks.change(change)}


def parse_change(body: Any, now: datetime) -> ChangeEvent:
    """A change event from a decoded JSON body.

    Raises:
        MalformedError: names each wrong key and what it should be.
    """
    try:
        given = ChangeBody.model_validate(body)
    except ValidationError as error:
        errors = error.errors()
        wrong = [f"{'.'.join(map(str, e['loc']))[:200] or 'body'}: {e['msg']}" for e in errors[:SHOWN]]
        more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
        raise MalformedError("not a change event: " + "; ".join(wrong) + more) from error
    at = given.at.astimezone(UTC) if given.at else now
    if not now - EARLIEST <= at <= now + LATEST:
        raise MalformedError(
            f"not a change event: at: {at.isoformat()} is out of range; a change may lie at most "
            f"{LATEST.days} day ahead and {EARLIEST.days} days back. Check the unit and the clock."
        )
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
