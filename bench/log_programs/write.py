"""Write a program's log from its statements.

A program is a text file; each line is one statement and so one true template. `{kind}` is a value (`values`), `{a|b}`
one of these words, `{kind*}`, `{kind,}` and `{kind, }` lists of one to six, and `[?text?]` text that is left out half
the time. A first line `header: ` opens every line; a word drawn in it, the level, stays with its statement. Few
statements write most of the lines, as in real logs.

The first 39 programs were put into two halves by lot before the miner was changed for any of them: `reporting` has
`random.Random(2026).sample(sorted(names), 19)`, with a vocabulary of its own. Those added later are all in
`development`. Develop on `development`; measure `reporting` when a change is done, and never look at its failures.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.log_programs import values

HERE: Final = Path(__file__).parent
LINES: Final = 2_000
HALVES: Final = {"development": values.DEVELOPMENT, "reporting": values.REPORTING}
_OPTIONAL: Final = re.compile(r"\[\?(.*?)\?\]")
_LEVEL: Final = re.compile(r"\{([^{}|]+(?:\|[^{}|]+)+)\}")
_SLOT: Final = re.compile(r"\{([A-Za-z][^{}]*?)(\*|, ?)?\}")


def programs(half: str) -> list[str]:
    """The names of one half's programs, `development` or `reporting`."""
    return sorted(path.stem for path in (HERE / half).glob("*.txt"))


def lines_of(half: str, program: str, seed: int = 1, count: int = LINES) -> tuple[list[str], list[str]]:
    """Log lines and the name of each one's statement."""
    statements = (HERE / half / f"{program}.txt").read_text(encoding="utf-8").splitlines()
    header = ""
    if statements[0].startswith("header: "):
        header = statements.pop(0).removeprefix("header: ")
    dice = random.Random(f"{program} {seed}")
    headers = [_LEVEL.sub(lambda match: dice.choice(match[1].split("|")), header) for _ in statements]
    draw = values.kinds(dice, HALVES[half])
    ranks = dice.sample(range(len(statements)), len(statements))
    numbers = dice.choices(range(len(statements)), [1 / (rank + 1) for rank in ranks], k=count)
    lines = [_written(headers[number] + statements[number], dice, draw) for number in numbers]
    return lines, [str(number) for number in numbers]


def _written(statement: str, dice: random.Random, draw: dict[str, Callable[[], str]]) -> str:
    def value(match: re.Match[str]) -> str:
        kind, many = match[1], match[2]
        count = dice.randint(1, 6) if many else 1
        several = [dice.choice(kind.split("|")) if "|" in kind else draw[kind]() for _ in range(count)]
        return (" " if many == "*" else many or "").join(several)

    kept = _OPTIONAL.sub(lambda match: match[1] if dice.random() < 0.5 else "", statement)
    return _SLOT.sub(value, kept)
