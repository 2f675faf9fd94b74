"""The step `wait-for`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from runbooks.condition import condition_mistakes, holds, read_condition
from runbooks.step import Call, Done, Inputs, TypedStep, Wait
from watchkeeper.target import ServiceStatus

AGAIN_S = 5.0


class WaitInputs(Inputs):
    """One of four: users' requests of the service are well, an objective is met, a query's value, or some seconds.

    `errors_below` is a share of requests, `p95_below_ms` in milliseconds, both over the last `window_s` seconds.
    `slo` names an objective of the configuration: over the last `window_s` seconds its error budget burns more slowly
    than at `burn_below` times the rate that would use it up.
    `query` is a SELECT on the telemetry store that gives one value, `value` what it must be, as in conditions.
    """

    errors_below: Annotated[float, Field(gt=0, le=1)] | None = None
    p95_below_ms: Annotated[float, Field(gt=0)] | None = None
    window_s: Annotated[float, Field(ge=5, le=3600)] = 30.0
    slo: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    burn_below: Annotated[float, Field(gt=0, le=1000)] = 1.0
    query: Annotated[str, Field(min_length=1, max_length=5000)] | None = None
    value: Any = None
    seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None

    @model_validator(mode="after")
    def _waits_for_one_thing(self) -> Self:
        level = self.errors_below is not None or self.p95_below_ms is not None
        if level + sum(given is not None for given in (self.slo, self.query, self.seconds)) != 1:
            raise ValueError(
                "wait for one thing: errors_below and p95_below_ms, or slo, or query with value, or seconds"
            )
        if self.slo is None and "burn_below" in self.model_fields_set:
            raise ValueError("burn_below: stands beside slo only")
        if self.query is not None:
            mistakes = list(condition_mistakes({"service": self.value}, frozenset()))
            if mistakes:
                raise ValueError(f"value: {mistakes[0].removeprefix('service: ')}")
        elif self.value is not None:
            raise ValueError("value: stands beside a query only")
        return self


class WaitFor(TypedStep[WaitInputs]):
    """Wait until a service's level or a query of the telemetry store is as it should be, or for some seconds.

    Give it a time-out: without one, it waits until the run's. Nobody is held up meanwhile. No requests is no level.
    """

    inputs = WaitInputs
    example: ClassVar = {"errors_below": 0.01, "p95_below_ms": 500}
    reads_only = True

    def plan(self, given: WaitInputs, service: str, status: ServiceStatus | None) -> str:
        del status
        if given.seconds is not None:
            return f"wait {given.seconds:g} s"
        if given.query is not None:
            return f"wait until {_value_words(given)}: {' '.join(given.query.split())}"
        if given.slo is not None:
            return f"wait until, over {given.window_s:g} s, {_slo_words(given.slo, given)}"
        return f"wait until, over {given.window_s:g} s, {_level_words(given, service)}"

    def run(self, call: Call[WaitInputs]) -> Done | Wait:
        given = call.given
        if given.seconds is not None:
            left = given.seconds - (call.around.now() - call.began).total_seconds()
            return Done(text=f"waited {given.seconds:g} s") if left <= 0 else Wait(why="waits", again_s=left)
        if given.query is not None:
            rows = call.around.query(given.query)
            value = rows[0][0] if rows and rows[0] else None
            if isinstance(value, str | int | float | bool) and holds({"service": given.value}, {"service": value}):
                return Done(text=f"the query gives {value}", outputs={"value": value})
            return Wait(why=f"the query gives {value}, not {_value_words(given)}", again_s=AGAIN_S)
        if given.slo is not None:
            return _objective(call, given.slo)
        level = call.around.level(call.service, given.window_s)
        if level is None:
            return Wait(why=f"{call.service} served no request within {given.window_s:g} s", again_s=AGAIN_S)
        found = (
            f"{level.error_share:.1%} of {level.requests} requests of {call.service} fail, p95 {level.p95_ms:.0f} ms"
        )
        outputs = {"error_share": level.error_share, "p95_ms": level.p95_ms, "requests": level.requests}
        if (given.errors_below is None or level.error_share < given.errors_below) and (
            given.p95_below_ms is None or level.p95_ms < given.p95_below_ms
        ):
            return Done(text=found, outputs=outputs)
        return Wait(why=found, again_s=AGAIN_S)


def _objective(call: Call[WaitInputs], slo: str) -> Done | Wait:
    given = call.given
    burn = call.around.burn(slo, given.window_s)
    if burn is None:
        return Wait(why=f"the objective {slo} had no request within {given.window_s:g} s", again_s=AGAIN_S)
    now = f"the error budget of {slo} burns at {burn.rate:.1f} times the rate that uses it up"
    if burn.rate < given.burn_below:
        return Done(text=now, outputs={"burn": burn.rate, "requests": burn.requests})
    return Wait(why=now, again_s=AGAIN_S)


def _slo_words(slo: str, given: WaitInputs) -> str:
    if given.burn_below == 1:
        return f"the objective {slo} is met"
    return f"the error budget of {slo} burns at less than {given.burn_below:g} times the rate that uses it up"


def _value_words(given: WaitInputs) -> str:
    value: Mapping[str, Any] = {"the value": given.value}
    return read_condition(value)


def _level_words(given: WaitInputs, service: str) -> str:
    wanted = []
    if given.errors_below is not None:
        wanted.append(f"fewer than {given.errors_below:.2%} of the requests of {service} fail")
    if given.p95_below_ms is not None:
        wanted.append(f"95 % of the requests of {service} take less than {given.p95_below_ms:g} ms")
    return " and ".join(wanted)
