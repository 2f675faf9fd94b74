"""The rota as JSON: the version in force, and one object of it put in its place or removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from alerting.oncall.applying import bring_into_force, expect, plan_edit
from alerting.oncall.in_force import RotaInForce
from alerting.oncall.ownership import KINDS, Kind, objects
from alerting.oncall.versions import newest, newest_id
from dashboard.web.acting import answered
from dashboard.web.credentials import Denied
from dashboard.web.openapi import FURTHER_SCOPE
from dashboard.web.session import NO_CREDENTIAL, Sessions, denied, who
from dashboard.web.values import AS_NUMBER
from watchkeeper.clock import Clock
from watchkeeper.config import Config
from watchkeeper.state.database import Database
from watchkeeper.vocabulary import Actor

SCOPE: Final = "rota"
Name = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]
Version = Annotated[int, Field(ge=0, le=2**31), AS_NUMBER]
SeenVersion = Annotated[int | None, Query(ge=0, le=2**31)]


class ObjectBody(BaseModel):
    """A person, schedule or policy as in the file, without its id.

    With `version`, the change is refused if another version is in force: what was looked at is gone.
    """

    model_config = ConfigDict(extra="forbid")

    version: Version | None = None
    value: dict[str, Any]


class TeamBody(BaseModel):
    """A team's services; `version` as above."""

    model_config = ConfigDict(extra="forbid")

    version: Version | None = None
    value: list[str]


def router(config: Config, db: Database, clock: Clock, sessions: Sessions, rota: RotaInForce) -> APIRouter:
    """The routes under /api/v1/oncall that read and change the rota. `rota` is this process's."""
    api = APIRouter(prefix="/api/v1/oncall")

    @api.get("/rota")
    def read_rota() -> dict[str, Any]:
        """The version in force, who owns what, and every object. Addresses are for whoever has a session or token."""
        version, oncall = newest(db), config.oncall
        tree = oncall.model_dump(mode="json")
        for person in tree["people"] if who() is None else ():
            person["addresses"] = dict.fromkeys(person["addresses"], "")
        return {
            "version": version.id if version else 0,
            "since": version.since.isoformat() if version else None,
            "by": version.by if version else None,
            "file": version.owners.file if version else "",
            "not_owned_by_file": dict(version.owners.others) if version else {},
            "oncall": tree,
        }

    def add(kind: Kind, body_type: type[ObjectBody | TeamBody]) -> None:
        def put(name: Name, body: Annotated[Any, Body()], request: Request) -> Response:
            return _changed(request, lambda actor: _edit(kind, name, body.value, body.version, actor))

        def remove(name: Name, request: Request, version: SeenVersion = None) -> Response:
            return _changed(request, lambda actor: _edit(kind, name, None, version, actor))

        put.__annotations__["body"] = body_type  # each kind has a body of its own, and the description shows it
        described: dict[str, Any] = {"response_model": None, "openapi_extra": {FURTHER_SCOPE: SCOPE}}
        summary, text = f"Make or change one of the {kind}", "It is in force at once; 409 for what the file owns."
        api.put(f"/{kind}/{{name}}", name=f"put_{kind}", summary=summary, description=text, **described)(put)
        summary, text = f"Remove one of the {kind}", "409 for what the file owns, 422 while something names it."
        api.delete(f"/{kind}/{{name}}", name=f"remove_{kind}", summary=summary, description=text, **described)(remove)

    for kind in KINDS:
        add(kind, TeamBody if kind == "teams" else ObjectBody)

    def _edit(kind: Kind, name: str, value: Any, version: int | None, actor: Actor) -> dict[str, Any]:
        plan = plan_edit(db, config, kind, name, value, actor)
        expect(plan, version)
        bring_into_force(db, plan, clock.now(), actor)
        rota.look()
        there = objects(config.oncall, kind).get(name)
        return {"version": newest_id(db), "value": there}

    def _changed(request: Request, change: Callable[[Actor], dict[str, Any]]) -> Response:
        actor = who()
        if actor is None:
            return denied(Denied(status=401, text=NO_CREDENTIAL))
        if refusal := sessions.refuses(request, SCOPE):
            return denied(refusal)
        return answered(lambda: change(actor))

    return api
