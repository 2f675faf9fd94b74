"""What a postmortem of a severity asks for: its sections, which of them a publication needs, how many reviewers. Pure.

A document keeps the template with which people began to write it: a later edit of the configuration changes nothing of
what is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alerting.postmortems.document import HEADINGS, SECTIONS, Document, Section
from watchkeeper.config import OnCallConfig
from watchkeeper.config_oncall import POSTMORTEM_SECTIONS, PostmortemConfig
from watchkeeper.vocabulary import Level

_SHORT: Final = ("summary", "root_cause", "contributing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The sections in their order, those of `required` by name; so many `reviewers` besides the author publish it."""

    sections: tuple[str, ...]
    required: tuple[str, ...]
    reviewers: int

    def parts(self, document: Document) -> tuple[Section, ...]:
        """The sections with their headings and prompts, and any other in which somebody wrote."""
        return tuple(section for name, section in SECTIONS.items() if name in self.sections or getattr(document, name))

    def as_text(self) -> str:
        """As it is kept with the document."""
        return json.dumps({"sections": self.sections, "required": self.required, "reviewers": self.reviewers})

    def missing(self, document: Document, severity: str) -> tuple[str, ...]:
        """The headings of what a publication needs and nobody has filled in."""
        texts = [SECTIONS[name].heading for name in self.required if not getattr(document, name)]
        return (*texts, *(() if document.warranted or severity == "ticket" else (HEADINGS["warranted"],)))


_WRITTEN: Final = ("summary", "root_cause")
DEFAULTS: Final[Mapping[Level, Template]] = {
    "SEV1": Template(
        sections=POSTMORTEM_SECTIONS,
        required=("summary", "impact", "root_cause", "contributing", "to_improve"),
        reviewers=2,
    ),
    "SEV2": Template(sections=POSTMORTEM_SECTIONS, required=_WRITTEN, reviewers=1),
    "SEV3": Template(sections=POSTMORTEM_SECTIONS, required=_WRITTEN, reviewers=1),
    "SEV4": Template(sections=_SHORT, required=_WRITTEN, reviewers=0),
}


def template_of(oncall: OnCallConfig, level: Level) -> Template:
    """The template of a severity now: as configured, and what is left open as by default."""
    default, given = DEFAULTS[level], oncall.postmortems.get(level, PostmortemConfig())
    required: Sequence[str] | None = given.required
    if required is None:
        required = [name for name in default.required if name in (given.sections or default.sections)]
    named: Sequence[str] = given.sections or [*default.sections, *required]
    return Template(
        sections=tuple(name for name in POSTMORTEM_SECTIONS if name in named),
        required=tuple(name for name in POSTMORTEM_SECTIONS if name in required),
        reviewers=default.reviewers if given.reviewers is None else given.reviewers,
    )


def read_template(text: str, severity: str) -> Template:
    """What `as_text` gave; of a document from before there were templates by severity, the one that it had."""
    if not text:
        sections = _SHORT if severity == "ticket" else POSTMORTEM_SECTIONS
        return Template(sections=sections, required=_WRITTEN, reviewers=1)
    tree = json.loads(text)
    names = [tuple(name for name in tree[key] if name in SECTIONS) for key in ("sections", "required")]
    return Template(sections=names[0], required=names[1], reviewers=tree["reviewers"])
