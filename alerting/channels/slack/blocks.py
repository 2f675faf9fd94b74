"""Messages as Slack's blocks: calm, short, true, and why. Pure: an incident in, blocks out."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    ContextBlock,
    HeaderBlock,
    InteractiveElement,
    MarkdownTextObject,
    Option,
    OverflowMenuElement,
    PlainTextObject,
    SectionBlock,
)

from alerting.channels.slack.markup import slack_plain, slack_text
from alerting.incidents.machine import Incident
from watchkeeper.durations import duration
from watchkeeper.text import one_line, seen_name
from watchkeeper.vocabulary import Evidence, Suspect

# Characters that a header, a section and a field take: Slack's own limits are 150, 3000 and 2000 (Block Kit reference).
# Sections and fields leave a margin.
HEADER_LIMIT: Final = 150
SECTION_LIMIT: Final = 2900
FIELD_LIMIT: Final = 1900
# Of single texts, in characters, so that what stands together fits into a section.
TITLE_LIMIT: Final = 2400
LINE_LIMIT: Final = 400
FINDING_LIMIT: Final = 220
STEP_LIMIT: Final = 200
# Items of a message: what a person reads in half a minute. The incident's page has them all.
STEPS: Final = 10
SUSPECTS: Final = 3
REASONS: Final = 3
LISTED: Final = 15  # incidents that a gathered message names one by one
NAMED: Final = 12  # services that it names
_PART_OF_SIGN: Final = re.compile(r"&[a-z]{0,3}$")
_NUMBER: Final = re.compile(r"\d+")
SNOOZES: Final = (("1 hour", 3600), ("4 hours", 14_400))
MARKS: Final = {"page": ":red_circle:", "ticket": ":large_yellow_circle:"}

Blocks = list[dict[str, Any]]


def fallback(incident: Incident) -> str:
    """The line of a notification, and of a client that shows no blocks: what, since when, and why."""
    cause = ""
    if incident.diagnosis and not incident.diagnosis.abstained and incident.diagnosis.suspects:
        cause = f" · likely cause: {_name(incident.diagnosis.suspects[0].service)}"
    state = slack_text(_state(incident), 150).capitalize()
    return f"{state}: {slack_text(incident.title, 300)} · {incident.level}{cause}"


def line(text: str) -> str:
    """A line for the thread: whatever a log line or an alert holds, it mentions nobody."""
    return slack_text(text, SECTION_LIMIT) if text else ""


def mention_of(mention: str) -> str:
    """A mention in Slack's markup: of a user's id, or of `!channel`."""
    return f"<{mention}>" if mention.startswith("!") else f"<@{mention}>"


def digest_line(incidents: Sequence[Incident]) -> str:
    """The line of a notification about several incidents."""
    firing = sum(_state(incident) == "firing" for incident in incidents)
    return f"{len(incidents)} incidents, {firing} of them firing: {_services_of(incidents, 5)}"


def digest(incidents: Sequence[Incident], *, key: str, url: str, mention: str = "", why: str = "") -> Blocks:
    """One message about many incidents, as they stand now.

    `key` names the gathered message (its button acts on all of them), `url` is the list of incidents, `mention` the
    Slack id to page, `why` the reason why it is them.
    """
    states = Counter(_state(incident).partition(" by ")[0] for incident in incidents)
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    has_one = ("acknowledged", "merged", "resolved")
    open_incidents = [incident for incident in incidents if incident.human_state not in has_one]
    kinds = _kinds(incidents)
    lines = [
        f"{mark(incident)} <{url}/{incident.id}|{incident.id}> {slack_text(incident.title, 140)}"
        f" · since {slack_time(incident.onset)}"
        + ("" if _state(incident) == "firing" else f" · {slack_text(_state(incident), 150)}")
        + (f" · and {similar} similar" if similar else "")
        for incident, similar in kinds[:LISTED]
    ]
    more = sum(1 + similar for _, similar in kinds[LISTED:])
    if more > 0:
        lines.append(f"and {more} more: <{url}|all incidents>")
    blocks: list[Block] = [HeaderBlock(text=plain(f"{len(incidents)} incidents: {one_line(counts, 120)}"))]
    if mention:
        reason = f"{mention_of(mention)} {len(incidents)} pages were due at once; this message gathers them."
        blocks.append(section(reason + (f"\nWhy you: {slack_text(why)}" if why else "")))
    blocks.append(section(f"*Services:* {_services_of(incidents, NAMED)}"))
    blocks += _listed(lines)
    if open_incidents and key:
        every = button("acknowledge_all", f"Acknowledge all {len(open_incidents)}", key, style="primary")
        blocks.append(ActionsBlock(block_id=f"actions:{key}", elements=[every]))
    return rendered(blocks)


def tickets(incidents: Sequence[Incident], *, at: datetime, url: str) -> tuple[str, Blocks]:
    """The daily digest of open tickets, with its line for a notification: what, for how long, and a link."""
    count = f"{len(incidents)} open ticket{'s'[: len(incidents) != 1]}"
    firing = sorted(incidents, key=lambda incident: (incident.system_state != "firing", incident.onset))
    lines = [
        f"{mark(incident)} <{url}/{incident.id}|{slack_text(incident.title, 140)}> · "
        + (f"for {duration(at - incident.onset)}" if incident.system_state == "firing" else "quiet now")
        + (f" · {_name(incident.acknowledged_by.name)} has it" if incident.acknowledged_by else "")
        for incident in firing[:LISTED]
    ]
    if len(firing) > LISTED:
        lines.append(f"and {len(firing) - LISTED} more")
    lines.append(f"<{url}?severity=ticket&state=open|All open tickets> · nobody was paged for them")
    return count, rendered([HeaderBlock(text=plain(count)), *_listed(lines)])


def _kinds(incidents: Sequence[Incident]) -> list[tuple[Incident, int]]:
    """The first incident of each kind, and how many similar ones there are; what stands alone comes first.

    Titles that differ in their numbers alone are of one kind: two hundred hosts that are down must not hide the one
    trouble that is another.
    """
    groups: dict[tuple[bool, str], list[Incident]] = defaultdict(list)
    for incident in incidents:
        groups[_state(incident) != "firing", _NUMBER.sub("#", incident.title)].append(incident)

    def rank(group: list[Incident]) -> tuple[bool, bool, int, datetime, str]:
        first = group[0]
        return (_state(first) != "firing", first.severity != "page", len(group), first.opened_at, first.id)

    for group in groups.values():
        group.sort(key=lambda incident: (incident.severity != "page", incident.opened_at, incident.id))
    return [(group[0], len(group) - 1) for group in sorted(groups.values(), key=rank)]


def _services_of(incidents: Sequence[Incident], limit: int) -> str:
    """`payments (12), cart (9), and 30 more services`, those with most incidents first."""
    counts = Counter(incident.service for incident in incidents)
    named = [f"{_name(service)} ({count})" for service, count in counts.most_common(limit)]
    more = len(counts) - limit
    return ", ".join(named) + (f", and {more} more services" if more > 0 else "")


def message(
    incident: Incident, *, url: str, mention: str = "", record: str = "", names: Mapping[str, str] | None = None
) -> Blocks:
    """The one message of an incident, as it stands now.

    `url` is the incident's page, `mention` a Slack id to page, `record` the detector's track record, `names`
    what people are called, by their id.
    """
    blocks: list[Block] = [
        HeaderBlock(text=plain(f"{incident.level} · {seen_name(incident.service)}: {_state(incident)}", HEADER_LIMIT)),
        section(
            f"{mark(incident)} *{slack_text(incident.title, TITLE_LIMIT)}*"
            + (f"\n{mention_of(mention)}" if mention else "")
        ),
        SectionBlock(fields=[_field(head, text) for head, text in _facts(incident, names or {})]),
    ]
    cause = _cause(incident)
    if cause:
        blocks.append(section(cause))
    if incident.proposal and incident.proposal_state != "none":
        blocks.append(section(_proposal(incident)))
    buttons = _buttons(incident)
    if buttons:
        blocks.append(ActionsBlock(block_id=f"actions:{incident.id}", elements=buttons))
    notes = [
        f"<{url}|Open {incident.id} in Watchkeeper>",
        f"grouped from {len(incident.findings)} finding{'s'[: len(incident.findings) != 1]}",
    ]
    if record:
        notes.append(slack_text(record))
    blocks.append(ContextBlock(elements=[marked(" · ".join(notes), SECTION_LIMIT)]))
    return rendered(blocks)


def details(incident: Incident) -> Blocks:
    """The diagnosis and the evidence, for the thread below the message."""
    blocks: list[Block] = []
    if incident.diagnosis:
        blocks.append(section(f"*Diagnosis*\n{slack_text(incident.diagnosis.reason, TITLE_LIMIT)}"))
        for number, suspect in enumerate(incident.diagnosis.suspects[:5], 1):
            lines = [f"*{number}. {_name(suspect.service)}* · {suspect.mechanism} · {_percent(suspect)}"]
            lines += [f"{_sign(reason)} {slack_text(reason.sentence, LINE_LIMIT)}" for reason in suspect.evidence[:6]]
            blocks.append(section("\n".join(lines)))
    if incident.findings:
        shown = incident.first_findings
        lines = [f"• {slack_text(finding.summary, FINDING_LIMIT)}" for finding in shown]
        more = len(incident.findings) - len(shown)
        blocks.append(section("*What was noticed*\n" + "\n".join(lines) + (f"\nand {more} more" if more > 0 else "")))
    return rendered(blocks)


def _percent(suspect: Suspect) -> str:
    return f"{suspect.probability * 100:.0f} %"


def _sign(reason: Evidence) -> str:
    """Whether a piece of evidence speaks for the suspect or against it."""
    return "+" if reason.weight >= 0 else "−"


def mark(incident: Incident) -> str:
    over = not incident.is_open or incident.system_state == "recovered"
    return ":white_check_mark:" if over else MARKS[incident.severity]


def _state(incident: Incident) -> str:
    if incident.human_state == "resolved":
        return "resolved"
    if incident.human_state == "merged":
        return f"merged into {incident.merged_into}"
    if incident.system_state == "recovered":
        return "recovered"
    if incident.human_state in ("snoozed", "silenced"):
        return incident.human_state
    by = f" by {one_line(incident.acknowledged_by.name, 60)}" if incident.acknowledged_by else ""
    return f"acknowledged{by}" if incident.human_state == "acknowledged" else "firing"


def _facts(incident: Incident, names: Mapping[str, str]) -> list[tuple[str, str]]:
    facts = [("Since", slack_time(incident.onset))]
    if incident.human_state == "resolved" and incident.resolved_by:
        facts.append(("Resolved", f"{_name(incident.resolved_by.name)}, {slack_time(incident.resolved_at)}"))
    elif incident.human_state in ("snoozed", "silenced"):
        until = incident.snoozed_until if incident.human_state == "snoozed" else incident.silenced_until
        facts.append((f"{incident.human_state.capitalize()} until", slack_day(until)))
    elif incident.acknowledged_by and incident.human_state == "acknowledged":
        facts.append(("Has it", f"{_name(incident.acknowledged_by.name)}, {slack_time(incident.acknowledged_at)}"))
    elif incident.paged_person:
        who = _name(names.get(incident.paged_person, incident.paged_person))
        facts.append(("Paged", f"{who}, {slack_time(incident.paged_at)}"))
    others = sorted({finding.service for finding in incident.findings} - {incident.service})
    if others:
        facts.append(("Also affected", ", ".join(_name(other) for other in others[:6])))
    return facts


def _cause(incident: Incident) -> str:
    diagnosis = incident.diagnosis
    if diagnosis is None:
        return ""
    if diagnosis.abstained or not diagnosis.suspects:
        leads = ", ".join(_name(suspect.service) for suspect in diagnosis.suspects[:SUSPECTS])
        return f"*No clear cause:* {slack_text(diagnosis.reason, TITLE_LIMIT)}" + (f"\nLeads: {leads}" if leads else "")
    first = diagnosis.suspects[0]
    lines = [f"*Likely cause: {_name(first.service)}* ({first.mechanism}, {_percent(first)})"]
    lines += [f"• {slack_text(reason.sentence, LINE_LIMIT)}" for reason in _reasons(first)]
    rest = diagnosis.suspects[1:SUSPECTS]
    if rest:
        lines.append("Then: " + ", ".join(f"{_name(s.service)} ({_percent(s)})" for s in rest))
    return "\n".join(lines)


def _reasons(suspect: Suspect) -> Sequence[Evidence]:
    speaking = [reason for reason in suspect.evidence if reason.weight > 0]
    return sorted(speaking, key=lambda reason: -reason.weight)[:REASONS]


def _proposal(incident: Incident) -> str:
    proposal = incident.proposal
    if proposal is None:
        return ""
    shown = proposal.steps[:STEPS]
    steps = "\n".join(f"{number}. {slack_text(step, STEP_LIMIT)}" for number, step in enumerate(shown, 1))
    if len(proposal.steps) > STEPS:
        steps += f"\nand {len(proposal.steps) - STEPS} more: see {incident.id}"
    by = f" by {_name(incident.approved_by.name)}" if incident.approved_by else ""
    state = "" if incident.proposal_state == "proposed" else f" — {incident.proposal_state}{by}"
    if incident.proposal_state == "proposed" and proposal.approvals > 1:
        names = "".join(f", {_name(approver.name)}" for approver in incident.approvals)
        state = f" — {len(incident.approvals)} of {proposal.approvals} approvals{names}"
    if proposal.blocked and incident.proposal_state == "proposed":
        steps += f"\nIt cannot be run from here: {slack_text(proposal.blocked, 300)}"
    return (
        f"*Runbook: {slack_text(proposal.title, 200)}*{state}\n{steps}\n"
        f"_Touches:_ {slack_text(proposal.blast_radius, 300)} · _Undo:_ {slack_text(proposal.undo, 300)}"
        + (f"\n_Proof:_ {slack_text(proposal.proof, 300)}" if proposal.proof else "")
    )


def _buttons(incident: Incident) -> list[InteractiveElement]:
    if incident.human_state == "merged":
        return [button("split", "Split off", f"{incident.id} {incident.merged_into}")]
    if not incident.is_open:
        return []
    buttons: list[InteractiveElement] = []
    if incident.human_state != "acknowledged":
        buttons.append(button("acknowledge", "Acknowledge", incident.id, style="primary"))
    buttons.append(button("resolve", "Resolve", incident.id, style="primary"))
    if incident.proposal_state == "proposed" and incident.proposal and not incident.proposal.blocked:
        # A press approves what this message shows, and nothing that came to stand in its place.
        value = f"{incident.id} {incident.proposal.id}"
        buttons.append(button("approve", "Approve runbook", value, style="primary"))
        buttons.append(button("decline", "Decline runbook", value))
    # Slack shows five at most; the link to the incident is in the last line.
    options: list[Option] = []
    if incident.severity == "page":
        options += [
            Option(text=plain(f"Snooze for {words}"), value=f"snooze {incident.id} {seconds}")
            for words, seconds in SNOOZES
        ]
    options.append(Option(text=plain("Take it over"), value=f"take {incident.id}"))
    options.append(Option(text=plain("Change severity"), value=f"severity {incident.id}"))
    options.append(Option(text=plain("Merge into another"), value=f"merge {incident.id}"))
    buttons.append(OverflowMenuElement(action_id="more", options=options))
    return buttons


def slack_time(at: datetime | None) -> str:
    """A time in the reader's own zone, with UTC where Slack cannot show it."""
    return f"<!date^{int(at.timestamp())}^{{time_secs}}|{at:%H:%M:%S} UTC>" if at else "unknown"


def slack_day(at: datetime | None) -> str:
    """The same for a time that may be days away."""
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{at:%Y-%m-%d %H:%M} UTC>" if at else "unknown"


def _name(text: str) -> str:
    """A name as it can be seen, in Slack's markup."""
    return slack_text(seen_name(text), 150)


def _cut(text: str, limit: int) -> str:
    """Cut markup to what Slack takes, never within an escaped sign."""
    return text if len(text) <= limit else _PART_OF_SIGN.sub("", text[: limit - 1]) + "…"


def plain(text: str, longest: int = 150) -> PlainTextObject:
    """Text that is shown as it is."""
    return PlainTextObject(text=slack_plain(text, longest), emoji=False)


def marked(text: str, longest: int) -> MarkdownTextObject:
    """Slack's markup, as it is: nothing else becomes a link or a mention."""
    return MarkdownTextObject(text=_cut(text, longest), verbatim=True)


def section(text: str) -> SectionBlock:
    return SectionBlock(text=marked(text, SECTION_LIMIT))


def _listed(lines: Sequence[str]) -> list[SectionBlock]:
    """Lines of a list, few enough in each section for its limit."""
    return [section("\n".join(lines[start : start + 5])) for start in range(0, len(lines), 5)]


def _field(head: str, text: str) -> MarkdownTextObject:
    return marked(f"*{head}*\n{text}", FIELD_LIMIT)


def button(action: str, text: str, value: str, *, style: str | None = None) -> ButtonElement:
    """A button whose press comes to `action` with `value`."""
    return ButtonElement(action_id=action, text=plain(text), value=value, style=style)


def confirmation(title: str, text: str, confirm: str) -> ConfirmObject:
    """A dialog that asks before a press counts, within Slack's limits (Block Kit reference)."""
    return ConfirmObject(
        title=plain(title, 100), text=plain(text, 300), confirm=plain(confirm, 30), deny=plain("Cancel", 30)
    )


def rendered(blocks: Sequence[Block]) -> Blocks:
    """As Slack's API takes them. Nothing where the models refuse a block: the message then goes out as text."""
    try:
        return [block.to_dict() for block in blocks]
    except SlackObjectFormationError:
        return []
