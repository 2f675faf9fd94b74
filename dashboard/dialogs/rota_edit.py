"""What the dialog of the rota has open, and what saving it would bring into force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from alerting.oncall.applying import Plan, plan_edit
from alerting.oncall.object_text import LONGEST, as_text, at_lines, read_text
from alerting.oncall.ownership import KINDS, ONE, Kind, objects
from alerting.oncall.versions import newest
from dashboard.components.rota_fields import fits, value_of
from dashboard.reads.sources import Sources
from watchkeeper.config import OnCallConfig
from watchkeeper.errors import ConfigError, KeysError
from watchkeeper.text import one_line
from watchkeeper.vocabulary import Actor

AS_FORM: Final = "form"
AS_YAML: Final = "yaml"
PREVIEW_ACTOR: Final = Actor(name="preview", via="dashboard")  # of plans that are only shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """The object of the open dialog, and the version of the rota that it was opened with; a new one has no name."""

    kind: Kind
    name: str
    version: int
    shown_as: str
    outrun: bool = False  # what somebody else changed meanwhile is shown

    @property
    def is_new(self) -> bool:
        """Whether it is still to be made."""
        return not self.name

    def kept(self) -> dict[str, Any]:
        """As the browser remembers it."""
        names = {"form": "rota", "kind": self.kind, "name": self.name, "version": self.version}
        return names | {"as": self.shown_as, "outrun": self.outrun}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What stands in the dialog: the ids and values of the form's fields, and the text of the YAML."""

    ids: Any
    values: Any
    text: str

    def typed(self) -> dict[str, Any]:
        """What stands in each field of the form, by its key."""
        is_form = isinstance(self.ids, list) and isinstance(self.values, list)
        pairs = zip(self.ids, self.values, strict=False) if is_form else ()
        return {str(each["rota"]): what for each, what in pairs if isinstance(each, dict) and "rota" in each}

    def new_name(self) -> str:
        """The id that was typed into the form for a new object."""
        return str(self.typed().get("id") or "").strip()

    def of_form(self, edited: Edited) -> tuple[str, Any]:
        """The name and the value that stand in the form.

        Raises:
            ConfigError: a span of time cannot be read; names the field.
        """
        return edited.name or self.new_name(), value_of(edited.kind, self.typed())


def edited_of(asked: Any) -> Edited | None:
    """What `kept` gave; None for another dialog's."""
    if not isinstance(asked, dict) or asked.get("form") != "rota":
        return None
    kind = kind_of(asked.get("kind"))
    name, version = asked.get("name"), asked.get("version")
    if kind is None or not isinstance(name, str) or not isinstance(version, int):
        return None
    shown_as = AS_YAML if asked.get("as") == AS_YAML else AS_FORM
    return Edited(kind=kind, name=name, version=version, shown_as=shown_as, outrun=asked.get("outrun") is True)


def kind_of(text: Any) -> Kind | None:
    """The kind of that name; None for anything else."""
    return next((each for each in KINDS if each == text), None)


def in_force(sources: Sources) -> OnCallConfig:
    """The rota as it is now, also between two looks of this process."""
    version = newest(sources.db)
    return version.oncall if version else sources.config.oncall


def planned(sources: Sources, edited: Edited, inputs: Inputs, actor: Actor) -> tuple[str, Plan]:
    """The object's name, and what the dialog would bring into force.

    Raises:
        WatchkeeperError: it cannot be: see `plan_edit` and `read_text`.
    """
    if edited.shown_as == AS_FORM:
        name, value = inputs.of_form(edited)
        return name, _plan(sources, edited, name, value, actor)
    document = read_text(edited.kind, inputs.text)
    name = edited.name or _id_in(document.data) or inputs.new_name()
    try:
        return name, _plan(sources, edited, name, _without_id(document.data), actor)
    except KeysError as error:
        raise at_lines(document, in_force(sources), edited.kind, name, error) from error


def _plan(sources: Sources, edited: Edited, name: str, value: Any, actor: Actor) -> Plan:
    one = ONE[edited.kind]
    if edited.is_new and not name:
        raise ConfigError(f"Give the {one} an id.")
    if edited.is_new and name in objects(in_force(sources), edited.kind):
        raise ConfigError(f"There is a {one} {one_line(name, 64)} already; choose another id, or edit that.")
    return plan_edit(sources.db, sources.config, edited.kind, name, value, actor)


def as_yaml(edited: Edited, inputs: Inputs) -> str:
    """The form as YAML; a new object begins with its id.

    Raises:
        ConfigError: a span of time cannot be read; names the field.
    """
    name, value = inputs.of_form(edited)
    lead = f"id: {name or 'NAME'}\n" if edited.is_new and isinstance(value, dict) else ""
    return lead + as_text(value)[:LONGEST]


def from_yaml(sources: Sources, edited: Edited, inputs: Inputs) -> tuple[str, Any]:
    """The name and the value of the YAML, for the form.

    Raises:
        ConfigError: it is wrong, or the form has no field for a part of it.
    """
    data = read_text(edited.kind, inputs.text).data
    name = _id_in(data)
    probe = edited.name or name or "new"
    plan = plan_edit(sources.db, sources.config, edited.kind, probe, _without_id(data), PREVIEW_ACTOR)
    value = objects(plan.oncall, edited.kind)[probe]
    if not fits(edited.kind, value):
        raise ConfigError("The form has no field for a part of this YAML. Go on with YAML.")
    return name, value


def _id_in(data: Any) -> str:
    return str(data.get("id", "")) if isinstance(data, dict) else ""


def _without_id(value: Any) -> Any:
    """A value without its id, which is its name."""
    return {key: each for key, each in value.items() if key != "id"} if isinstance(value, dict) else value
