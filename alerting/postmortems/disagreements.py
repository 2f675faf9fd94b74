"""Where the people of an incident, the machine, and chaos truth disagree. Pure."""

from __future__ import annotations

from alerting.incidents.machine import Incident
from watchkeeper.text import seen_name
from watchkeeper.vocabulary import Label


def disagreements(incident: Incident, truth: tuple[Label, ...] = ()) -> tuple[str, ...]:
    """Each disagreement as a sentence: of people with the diagnosis, the page, each other, and chaos truth.

    `truth` are labels of the incident that are not among its own, such as those of an experiment.
    """
    human = [label for label in incident.labels if label.source == "human"]
    if not human:
        return ()
    lines = []
    newest, diagnosis = human[-1], incident.diagnosis
    if newest.cause and diagnosis and diagnosis.suspects and diagnosis.suspects[0].service != newest.cause:
        first = diagnosis.suspects[0]
        ranked = next((n for n, one in enumerate(diagnosis.suspects, 1) if one.service == newest.cause), None)
        place = f"; the diagnosis has it in place {ranked}" if ranked else "; the diagnosis does not name it"
        sure = " without being sure" if diagnosis.abstained else ""
        lines.append(
            f"{newest.author} names {seen_name(newest.cause)} as the cause; the machine suspected "
            f"{seen_name(first.service)} first ({first.probability:.0%}){sure}{place}."
        )
    if newest.warranted is False and incident.paged_at:
        lines.append(f"The machine paged; {newest.author} judges that the page was not warranted.")
    if newest.warranted is True and not incident.paged_at:
        lines.append(f"The machine paged nobody; {newest.author} judges that a page was warranted.")
    lines += [line for earlier in human[:-1] for line in _between(newest, earlier)]
    chaos = [label for label in (*incident.labels, *truth) if label.source == "chaos"]
    lines += [line for label in chaos for line in _between(newest, label)]
    return tuple(dict.fromkeys(lines))


def _between(newest: Label, other: Label) -> list[str]:
    who = "the experiment" if other.source == "chaos" else other.author
    lines = []
    if None not in (newest.warranted, other.warranted) and newest.warranted != other.warranted:
        words = {True: "warranted", False: "not warranted"}
        lines.append(
            f"{newest.author} judges the page {words[bool(newest.warranted)]}; "
            f"{who} shows it {words[bool(other.warranted)]}."
        )
    if newest.cause and other.cause and newest.cause != other.cause:
        lines.append(
            f"{newest.author} names {seen_name(newest.cause)} as the cause; {who} names {seen_name(other.cause)}."
        )
    return lines
