"""The forms that end an incident in Slack, or only ask what it was. Pure: an incident in, a view out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slack_sdk.models.blocks import InputBlock, InputInteractiveElement, PlainTextInputElement

from alerting.channels.slack.blocks import FIELD_LIMIT, plain
from alerting.channels.slack.menu_form import choice, modal
from alerting.incidents.human_labels import ANSWERS
from alerting.incidents.machine import Incident
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import MECHANISMS, content_key


def resolve_view(incident: Incident, question: str = "") -> dict[str, Any]:
    """The form that ends an incident and asks what it was; `question` is one more, for active learning.

    Nothing is preselected: an answer that the machine filled in would be no human judgement.
    """
    blocks = _questions(incident)
    if question:
        blocks.append(_input("answer", question, _free("answer", 1000), optional=True))
    return _view("resolve", "Resolve", incident, blocks)


def judgement_view(incident: Incident) -> dict[str, Any]:
    """The form that asks what an incident was, and leaves it as it is."""
    return _view("label", "Label", incident, _questions(incident))


def _questions(incident: Incident) -> list[InputBlock]:
    return [
        _input("warranted", "Was the page warranted?", choice("warranted", ANSWERS)),
        _input(
            "cause",
            "Which service was at fault?",
            choice(
                "cause",
                [(value, seen_name(service, 70)) for value, service in causes(incident).items()]
                + [("-", "None of these")],
            ),
            optional=True,
        ),
        _input(
            "mechanism",
            "What went wrong with it?",
            choice("mechanism", [(mechanism, mechanism) for mechanism in MECHANISMS]),
            optional=True,
        ),
        _input("note", "Anything the next person should know?", _free("note", 2000), optional=True),
    ]


def _view(callback: str, word: str, incident: Incident, blocks: Sequence[InputBlock]) -> dict[str, Any]:
    return modal(callback, title=word, submit=word, kept=incident.id, blocks=blocks)


def causes(incident: Incident) -> dict[str, str]:
    """The services that the form offers as the cause: what Slack gives back, and the name, by that."""
    suspects = [suspect.service for suspect in incident.diagnosis.suspects] if incident.diagnosis else []
    services = list(dict.fromkeys([*suspects, *(finding.service for finding in incident.findings)]))[:90]
    return {_option_value(service): service for service in services}


def _option_value(service: str) -> str:
    """A service's name where Slack gives it back as it is, else a key for it."""
    fits = service == seen_name(service) and len(service) <= 75 and service != "-"
    return service if fits else content_key(service)


def _input(block: str, label: str, element: InputInteractiveElement, *, optional: bool = False) -> InputBlock:
    return InputBlock(block_id=block, label=plain(label, FIELD_LIMIT), element=element, optional=optional)


def _free(action: str, longest: int) -> PlainTextInputElement:
    return PlainTextInputElement(action_id=action, multiline=True, max_length=longest)
