"""A target that fails, loses answers and dies with its worker, and steps of every temper: for tests of random runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from run_parts import Killed

from runbooks.step import Ask, Call, Done, Inputs, TypedStep, Wait
from watchkeeper.errors import TargetError
from watchkeeper.target import NoTarget, ServiceStatus

# What becomes of one request: done; refused; done, and the answer lost; lost before anything was done.
Fate = Literal["done", "refused", "lost after", "lost before"]
FATES: tuple[Fate, ...] = ("done", "refused", "lost after", "lost before")


class Numbered(Inputs):
    """`number` is the step's own, so that the target knows whose request it gets."""

    number: int


@dataclass
class Fickle(NoTarget):
    """Does what it is asked, as its fates say; keys count for what honours them. `left` effects until the kill."""

    fates: list[Fate]
    left: int = 0
    effects: list[tuple[int, str]] = field(default_factory=list)  # number of the step, "do" or "undo"
    answered: dict[str, str] = field(default_factory=dict)
    polls: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__("nothing but acts")

    def status(self, service: str, *, timeout_s: float = 30.0) -> ServiceStatus:
        return ServiceStatus(service=service, state="running")

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def ask(self, number: int, what: str, key: str, *, keeps_keys: bool) -> str:
        self.count()
        fate = self.fates.pop(0) if self.fates else "done"
        if keeps_keys and key in self.answered:
            if fate.startswith("lost"):
                raise TargetError("no answer", retry=True)
            return self.answered[key]
        if fate == "refused":
            raise TargetError(f"{what} of {number} is refused")
        if fate == "lost before":
            raise TargetError("no answer", retry=True)
        self.effects.append((number, what))
        if keeps_keys:
            self.answered[key] = f"{what} of {number}"
        self.count()
        if fate == "lost after":
            raise TargetError("no answer", retry=True)
        return f"{what} of {number}"

    def happened(self, number: int) -> int:
        return self.effects.count((number, "do"))

    def undone(self, number: int) -> int:
        return self.effects.count((number, "undo"))


class Acts(TypedStep[Numbered]):
    """Keys are honoured, and it can be undone."""

    inputs = Numbered
    example: ClassVar = {"number": 0}
    keeps_keys = True

    def plan(self, given: Numbered, service: str, status: ServiceStatus | None) -> str:
        return f"act {given.number} on {service}"

    def repeats(self, given: Numbered) -> bool:
        return self.keeps_keys

    def run(self, call: Call[Numbered]) -> Done | Wait | Ask:
        target: Any = call.target
        return Done(text=target.ask(call.given.number, "do", call.key, keeps_keys=self.keeps_keys))

    def undo_plan(self, given: Numbered, service: str) -> str:
        return f"take {given.number} back"

    def undo(self, call: Call[Numbered]) -> str:
        target: Any = call.target
        return target.ask(call.given.number, "undo", call.key, keeps_keys=True)


class ActsOnce(Acts):
    """Asked twice, it acts twice."""

    keeps_keys = False


class ActsForGood(ActsOnce):
    """The same, and no machine takes it back."""

    def undo_plan(self, given: Numbered, service: str) -> str:
        return ""


class Waits(Acts):
    """Is ready at the third look."""

    reads_only = True

    def run(self, call: Call[Numbered]) -> Done | Wait | Ask:
        target: Any = call.target
        target.polls[call.given.number] += 1
        return Done(text="ready") if target.polls[call.given.number] > 2 else Wait(why="not yet")

    def undo_plan(self, given: Numbered, service: str) -> str:
        return ""


class Asks(Waits):
    """Wants a human's yes."""

    def run(self, call: Call[Numbered]) -> Done | Wait | Ask:
        if not call.answer:
            return Ask(question="go on?")
        if call.answer == "no":
            raise TargetError(f"{call.answered_by} said no")
        return Done(text="said yes")


TEMPERS = {"acts": Acts(), "once": ActsOnce(), "for-good": ActsForGood(), "waits": Waits(), "asks": Asks()}
