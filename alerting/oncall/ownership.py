"""Who owns each person, team, schedule and policy of the rota: the file, or whoever made it through the API. Pure.

The file replaces what it owns as one piece. What was made elsewhere stays, unless the file takes over its id; and what
the file owns is changed there and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, get_args

from pydantic import ValidationError

from watchkeeper.config import OnCallConfig
from watchkeeper.config_messages import key_of, plain
from watchkeeper.errors import Conflict, KeysError, NotFound
from watchkeeper.text import seen_name

Kind = Literal["people", "teams", "schedules", "policies"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ONE: Final[Mapping[Kind, str]] = {"people": "person", "teams": "team", "schedules": "schedule", "policies": "policy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """The file that owns the rota, and the objects that it does not own: by `kind/id`, who made each."""

    file: str = ""
    others: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: Kind, name: str) -> str:
        """Who made an object elsewhere; empty where the file owns it."""
        return self.others.get(f"{kind}/{name}", "")

    def as_text(self) -> str:
        """As it is kept."""
        return json.dumps({"file": self.file, "others": dict(self.others)}, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Owners:
        """What `as_text` gave."""
        tree = json.loads(text)
        return cls(file=tree["file"], others=tree["others"])


def objects(oncall: OnCallConfig, kind: Kind) -> dict[str, Any]:
    """The objects of a kind as JSON, by id; a team is a list of services."""
    if kind == "teams":
        return {name: list(services) for name, services in oncall.teams.items()}
    return {each.id: each.model_dump(mode="json") for each in getattr(oncall, kind)}


def with_file(file: OnCallConfig, source: str, before: OnCallConfig, owners: Owners) -> tuple[OnCallConfig, Owners]:
    """The rota once a file's section is in force: the file's objects, and those that others made.

    Policies of others come before the file's: its last one may fit everything.

    Raises:
        KeysError: what others made does not fit the file, such as a schedule of somebody whom it has no longer.
    """
    tree = file.model_dump(mode="json")
    others: dict[str, str] = {}
    for kind in KINDS:
        theirs, mine = objects(before, kind), objects(file, kind)
        kept = {name: each for name, each in theirs.items() if owners.of(kind, name) and name not in mine}
        others |= {f"{kind}/{name}": owners.of(kind, name) for name in kept}
        tree[kind] = _put(kind, kept, mine)
    oncall = checked(tree, "what was made through the API does not fit the file") if others else file
    return oncall, Owners(file=source, others=others)


def _put(kind: Kind, kept: Mapping[str, Any], mine: Mapping[str, Any]) -> Any:
    if kind == "teams":
        return {**mine, **kept}
    first, second = (kept, mine) if kind == "policies" else (mine, kept)
    return [*first.values(), *second.values()]


def edited(
    oncall: OnCallConfig, owners: Owners, kind: Kind, name: str, value: Any, actor: str
) -> tuple[OnCallConfig, Owners]:
    """The rota with one object put in its place, or, where `value` is None, without it.

    Raises:
        Conflict: the file owns it.
        NotFound: it is to be removed and is not there.
        KeysError: the value is wrong, or something names what would be gone.
    """
    known, key = objects(oncall, kind), f"{kind}/{name}"
    what = f"the {ONE[kind]} {seen_name(name)!r}"
    if name in known and not owners.of(kind, name):
        where = owners.file or "the configuration file"
        raise Conflict(f"{what} is owned by {where}: change it there, then run `watchkeeper oncall apply`")
    others = dict(owners.others)
    if value is None:
        if name not in known:
            raise NotFound(f"there is no {ONE[kind]} {name!r}; there are: {', '.join(known) or 'none'}")
        del known[name], others[key]
    else:
        is_new = name not in known
        given = value if kind == "teams" else {**value, "id": name}
        known = {name: given, **known} if is_new and kind == "policies" else {**known, name: given}
        others[key] = actor
    tree = oncall.model_dump(mode="json")
    tree[kind] = known if kind == "teams" else list(known.values())
    return checked(tree, f"{what} cannot be {'removed' if value is None else 'kept'}"), replace(owners, others=others)


def checked(tree: Mapping[str, Any], refusal: str) -> OnCallConfig:
    """A section that holds together.

    Raises:
        KeysError: begins with `refusal`, and names each key and what is wrong with it.
    """
    try:
        return OnCallConfig.model_validate(tree)
    except ValidationError as error:
        found = [(key_of(each), plain(each)) for each in error.errors()]
        words = "; ".join(f"{seen_name('.'.join(map(str, key)))}: {what}" for key, what in found)
        raise KeysError(f"{refusal}: {words}", [(("oncall", *key), what) for key, what in found]) from error
