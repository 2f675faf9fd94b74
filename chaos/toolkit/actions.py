"""Actions for experiments in Chaos Toolkit's format: `provider: {type: python, module: chaos.toolkit.actions}`.

They work under Watchkeeper and under `chaos`, the tool. There, the environment variable WATCHKEEPER_CONFIG names the
configuration file of the installation whose target is broken and which learns from it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chaos.experiment import LOOK_EVERY_S, PROOF_AND_REVERT_S, Experiment, alone, break_and_revert, validate
from chaos.registry import fault_named
from chaos.surroundings import Surroundings, is_game_day
from chaos.toolkit import stopping
from watchkeeper.errors import ChaosError

if TYPE_CHECKING:
    from chaos.fault import Effect

LOGGER: Final = logging.getLogger("chaostoolkit.watchkeeper")
T = TypeVar("T")


def inject(
    fault: str,
    service: str,
    seconds: float = 20.0,
    shop: str = "",
    config: str = "",
    arguments: dict[str, float | str] | None = None,
) -> dict[str, Any]:
    """Break a service, prove that it is broken, hold it so for `seconds`, and put it back.

    The fault ends by its lease whatever becomes of this process. What was true is recorded for the installation that
    watches the target. Returns the record of the fault.

    Args:
        fault: one of `watchkeeper chaos list`.
        service: the service of the target.
        seconds: how long the fault holds after its effect is proved.
        shop: the data directory of a running shop; default: WATCHKEEPER_SHOP, else the configuration's target.
        config: the configuration file; default: WATCHKEEPER_CONFIG.
        arguments: what a fault that an agent holds is asked for, such as {"delay_ms": 300}; its own defaults otherwise.

    Raises:
        ChaosError: refused, or the fault had no effect, or the target is not steady again.
    """
    sealed = is_game_day()
    surroundings = Surroundings.from_environment(shop, config)
    chosen = fault_named(fault, arguments)
    seconds = float(seconds)  # a variable's value may be a text
    experiment = Experiment(fault=chosen, service=service, bound_s=seconds + PROOF_AND_REVERT_S)

    def hold(effect: Effect) -> None:
        if not sealed:
            LOGGER.info("took effect: %s" if effect.proved else "no effect: %s", effect.detail)
        if (effect.proved and stopping.wait(seconds)) or stopping.is_requested():
            raise ChaosError("ended early")

    def whole() -> dict[str, Any]:
        with stopping.held(), closing(surroundings.target()) as target, alone(target, service):
            validate(experiment, target)
            records = surroundings.records(surroundings.recorder(target, LOGGER.warning))
            journal = break_and_revert(
                experiment, target, records, hold, start=time.time(), sealed=sealed, give_up=stopping.is_requested
            )
        if journal.status != "completed":
            raise ChaosError(f"{journal.status}: {journal.effect.detail}")
        return asdict(journal)

    return undisturbed(whole)


def undisturbed(work: Callable[[], T]) -> T:
    """Do work on a thread of its own: a signal that raises in this one can't tear it apart half done.

    On a signal the work is asked to end, and waited for; then what the signal raised goes on.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()  # not `Thread.join`: one that is interrupted takes the thread for ended (bpo-45274)

    def attempt() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=attempt, name="inject", daemon=True).start()
    try:
        while not done.wait(LOOK_EVERY_S):
            pass
    except BaseException:
        stopping.request()
        _await(done)
        raise
    if errors:
        raise errors[0]
    return results[0]


def _await(done: threading.Event) -> None:
    """Until it has ended, whatever else is raised here: all its waits are bounded."""
    while not done.is_set():
        try:
            done.wait(LOOK_EVERY_S)
        except BaseException:  # noqa: BLE001, S112 - another signal; the work is ending already
            continue
