"""Model versions: immutable, named by their content, each with its lineage, stage and record.

The content is data (JSON), never code: loading one runs nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, func, insert, select, update

from watchkeeper.errors import NotFound
from watchkeeper.state.database import Database, from_micros, to_micros
from watchkeeper.state.schema import models, promotions

Stage = Literal["shadow", "canary", "serving", "retired"]
DETECTORS: Final = "detectors"  # the model that decides which findings page


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version of what a detector has learned."""

    name: str
    version: int
    digest: str
    content: bytes
    lineage: Mapping[str, Any]
    created_at: datetime
    stage: Stage

    @property
    def learned_until(self) -> datetime:
        """When the newest label was given that the version has learned from."""
        last = self.lineage.get("last label")
        return datetime.fromisoformat(last) if isinstance(last, str) else self.created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Why a version changed its stage: who, when, and the scores on both label sources."""

    name: str
    version: int
    stage: Stage
    at: datetime
    actor: str
    record: Mapping[str, Any]


def _version(row: Any) -> ModelVersion:
    return ModelVersion(
        name=row.name,
        version=row.version,
        digest=row.digest,
        content=bytes(row.content),
        lineage=json.loads(row.lineage),
        created_at=from_micros(row.created_at),
        stage=row.stage,
    )


def put_model(db: Database, name: str, content: bytes, lineage: Mapping[str, Any], now: datetime) -> ModelVersion:
    """Keep a new version, in shadow. The same content again is the version that it already was."""
    digest = hashlib.sha256(content).hexdigest()
    with db.write() as connection:
        known = connection.execute(select(models).where(models.c.name == name, models.c.digest == digest)).first()
        if known:
            return _version(known)
        newest = connection.scalar(select(func.max(models.c.version)).where(models.c.name == name)) or 0
        row = {
            "name": name,
            "version": newest + 1,
            "digest": digest,
            "content": content,
            "lineage": json.dumps(lineage, sort_keys=True),
            "created_at": to_micros(now),
            "stage": "shadow",
        }
        connection.execute(insert(models).values(**row))
        return _version(
            connection.execute(select(models).where(models.c.name == name, models.c.digest == digest)).one()
        )


def stage(
    db: Database, name: str, version: int, to: Stage, *, actor: str, now: datetime, record: Mapping[str, Any]
) -> None:
    """Move a version to a stage and keep the record. Serving or canary: whoever was there retires.

    Raises:
        NotFound: no such version.
    """
    with db.write() as connection:
        chosen = (models.c.name == name) & (models.c.version == version)
        if connection.execute(select(models.c.version).where(chosen)).first() is None:
            raise NotFound(f"model {name} has no version {version}; see `watchkeeper model list`")
        if to in ("serving", "canary"):
            others = (models.c.name == name) & (models.c.stage == to) & (models.c.version != version)
            connection.execute(update(models).where(others).values(stage="retired"))
        connection.execute(update(models).where(chosen).values(stage=to))
        row = {"name": name, "version": version, "stage": to, "at": to_micros(now), "actor": actor}
        connection.execute(insert(promotions).values(**row, record=json.dumps(record, sort_keys=True)))


def versions(
    db: Database, name: str | None = None, stages: Sequence[Stage] = (), newest: int | None = None
) -> tuple[ModelVersion, ...]:
    """Versions, oldest first; of some stages only, or only so many of the newest."""
    query = select(models).order_by(models.c.name.desc(), models.c.version.desc())
    if name:
        query = query.where(models.c.name == name)
    if stages:
        query = query.where(models.c.stage.in_(stages))
    if newest is not None:
        query = query.limit(newest)
    with db.read() as connection:
        return tuple(_version(row) for row in connection.execute(query))[::-1]


def version_of(db: Database, name: str, version: int) -> ModelVersion:
    """One version.

    Raises:
        NotFound: there is no such version.
    """
    with db.read() as connection:
        chosen = (models.c.name == name) & (models.c.version == version)
        row = connection.execute(select(models).where(chosen)).first()
    if row is None:
        raise NotFound(f"model {name} has no version {version}; see `watchkeeper model list`")
    return _version(row)


def at_stage(db: Database, name: str, wanted: Stage) -> ModelVersion | None:
    """The newest version at a stage."""
    return next(iter(versions(db, name, (wanted,), newest=1)), None)


def serving(db: Database, name: str) -> ModelVersion | None:
    """The version that decides."""
    return at_stage(db, name, "serving")


def deciding_version(connection: Connection, at: datetime, name: str = DETECTORS) -> str:
    """What decided at a time, in words: `detectors 3`, where a canary ran beside it `detectors 3, canary 4`.

    0 is what is built in. By the records of the moves, so that a promotion since then changes nothing of it.
    """
    query = select(promotions.c.version, promotions.c.stage).where(
        promotions.c.name == name, promotions.c.at <= to_micros(at)
    )
    stages = {"serving": 0, "canary": 0}
    for version, to in connection.execute(query.order_by(promotions.c.id)):
        stages = {where: 0 if one == version else one for where, one in stages.items()}
        if to in stages:
            stages[to] = version
    return f"{name} {stages['serving']}" + (f", canary {stages['canary']}" if stages["canary"] else "")


def promotion_records(db: Database, name: str | None = None) -> tuple[Promotion, ...]:
    """Every change of stage, oldest first."""
    query = select(promotions).order_by(promotions.c.id)
    if name:
        query = query.where(promotions.c.name == name)
    with db.read() as connection:
        return tuple(
            Promotion(
                name=row.name,
                version=row.version,
                stage=row.stage,
                at=from_micros(row.at),
                actor=row.actor,
                record=json.loads(row.record),
            )
            for row in connection.execute(query)
        )


def rolled_back(db: Database, name: str) -> bool:
    """Whether the last word on what serves was a rollback: then nothing moves by itself until somebody promotes."""
    moves = [move for move in promotion_records(db, name) if move.record.get("rollback") or move.stage != "retired"]
    return bool(moves) and bool(moves[-1].record.get("rollback"))


def served_before(db: Database, name: str, version: int) -> int:
    """What served when a version began to serve by promotion; 0 is the built-in one."""
    for move in reversed(promotion_records(db, name)):
        if move.version == version and move.stage == "serving" and not move.record.get("rollback"):
            return int(move.record.get("before", 0))
    return 0
