"""An answer to a question as Slack's markup: the sentence first, then what it rests on, then what was read. Pure."""

from __future__ import annotations

from typing import Final

from alerting.ask.answer import Answer, Read
from alerting.channels.slack.markup import slack_text

LINES: Final = 1700  # characters of an answer's lines
READS: Final = 900  # of what was read
LINE: Final = 400


def answer_text(answer: Answer, url: str) -> str:
    """The text of a message. `url` is the dashboard's address."""
    lines = [f"*{slack_text(answer.heading, LINE)}*"]
    lines += _fitting([f"• {slack_text(line, LINE)}" for line in answer.lines], LINES)
    lines += [f"_{slack_text(note, LINE)}_" for note in answer.notes[:3]]
    lines += [f"• `/watch ask {slack_text(one, 200)}`" for one in answer.suggestions]
    if answer.links:
        lines.append(" · ".join(f"<{url}{path}|{_label(name)}>" for name, path in answer.links[:5]))
    if answer.intent:
        lines.append("*Read for this answer:*")
        lines += _fitting([f"`{slack_text(_read(read), 700)}`" for read in answer.reads], READS)
    return "\n".join(lines)


def _read(read: Read) -> str:
    given = ", ".join(f"{name}={value}" for name, value in read.parameters.items())
    return f"{read.text} [{given}]" if given else read.text


def _label(name: str) -> str:
    return slack_text(name, 80).replace("|", "ǀ")


def _fitting(lines: list[str], longest: int) -> list[str]:
    """As many lines as fit, and how many do not."""
    used = 0
    kept: list[str] = []
    for line in lines:
        used += len(line) + 1
        if used > longest:
            kept.append(f"and {len(lines) - len(kept)} more: `watchkeeper ask` prints all")
            break
        kept.append(line)
    return kept
