"""`watchkeeper demo`: one fault, live on the terminal, until its human (you, or a scripted one) resolved it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.panel import Panel

from alerting.incidents.machine import Incident
from chaos.demo.human import ScriptedHuman
from chaos.demo.loop import Loop
from chaos.demo.processes import Patience, Shop, Stopped
from chaos.demo.screen import PlainProgress, progress
from chaos.demo.settings import Settings, prepare
from chaos.demo.stage import RATE_PER_S
from chaos.demo.story import Plan, Stage, Story
from chaos.experiment import Experiment
from chaos.experiment import run as run_experiment
from chaos.fault import Effect, services_for
from chaos.registry import faults
from chaos.shop.running import shop_target
from watchkeeper.errors import ChaosError, TargetError
from watchkeeper.roles.up import Interrupted, Supervisor, stopping_on_signals
from watchkeeper.target import Target

WARM_UP_S = 60.0  # long enough to have a look around
FAULT_BOUND_S = 280.0  # a human who sees this for the first time may take minutes
# What shows itself most plainly to somebody who sees this for the first time.
FIRST_FAULTS = ("bad_deploy", "latency", "db_lock", "hang")


class _Screen:
    """What is known so far, for the terminal; written by the course, read by the main thread."""

    def __init__(self, links: dict[str, str]) -> None:
        self.headline = "The shop is open, and Watchkeeper watches it."
        self.steps: list[str] = []
        self.links = links
        self.incident: Incident | None = None


def run(root: Path, seed: int, *, auto: bool) -> None:
    """Start everything, break one service, show what happens, and keep running until Ctrl-C."""
    console = Console(stderr=True)
    settings = prepare(root)
    console.print(
        f"Starting the shop and Watchkeeper (data and logs: {settings.config.data_dir.parent})…", soft_wrap=True
    )
    shop = Shop(settings, seed=seed, rate_per_s=RATE_PER_S)
    patience = Patience()
    with stopping_on_signals() as asked:
        supervisor = Supervisor(settings.config, settings.config_path, notify=console.print, asked_to_stop=asked)
        try:
            supervisor.start()
            shop.await_ready(asked)
            screen = _Screen({"Dashboard": settings.dashboard_url, "Slack": f"{settings.stand_in_url}/"})
            course = threading.Thread(
                target=_course, args=(settings, seed, auto, patience, screen), name="course", daemon=True
            )
            course.start()
            with _shown(console, screen) as tell:
                while not asked() and not (auto and not course.is_alive()):
                    supervisor.tend()
                    tell()
                    time.sleep(0.2)
                tell()
            patience.stop()
            course.join(20)
        except Interrupted:
            pass
        finally:
            patience.stop()
            console.print("Stopping…")
            shop.stop()
            supervisor.stop()


@contextmanager
def _shown(console: Console, screen: _Screen) -> Iterator[Callable[[], None]]:
    """A panel that changes; line by line where the output is no terminal, which would get the last panel alone."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=3, get_renderable=lambda: _render(screen)):
            yield lambda: None
        return
    told = PlainProgress()

    def tell() -> None:
        for line in told.new(screen.headline, screen.incident, screen.links, list(screen.steps)):
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    yield tell


def _render(screen: _Screen) -> Panel:
    return progress(screen.headline, screen.incident, screen.links, screen.steps)


def _course(settings: Settings, seed: int, auto: bool, patience: Patience, screen: _Screen) -> None:
    loop = Loop(settings.config)
    target = shop_target(f"http://127.0.0.1:{settings.shop_port}", settings.shop_token)
    stage = Stage(loop=loop, target=target, records_dir=settings.shop_dir, patience=patience)
    story = Story(stage, screen.steps.append, began=time.time())
    human = ScriptedHuman(settings.stand_in_url, patience, story.verdict) if auto else None
    if human:
        human.start()
    try:
        screen.headline = f"Warming up for {WARM_UP_S:g} s: Watchkeeper learns what is normal. Have a look around:"
        story.warm_up(WARM_UP_S)
        _break(story, screen, _plan(seed, target))
        screen.headline = "That was the loop. Break something else with `watchkeeper chaos run`, or press Ctrl-C."
        screen.steps.append(f"watchkeeper chaos run hang cart --shop {settings.shop_dir}")
    except Stopped:
        pass
    except (ChaosError, TargetError) as error:
        screen.headline = f"The experiment was refused: {error.message}"
    finally:
        target.close()
        if human and patience.over:
            human.join()
        loop.close()


def _plan(seed: int, target: Target) -> Plan:
    dice = random.Random(seed)
    fault = faults()[dice.choice(FIRST_FAULTS)]
    return Plan(fault=fault, service=dice.choice(services_for(fault, target)))


def _break(story: Story, screen: _Screen, plan: Plan) -> None:
    """One experiment whose end is the human's resolve (or the fault's bound)."""
    since, loop = time.time(), story.loop
    story.remember(plan, since)
    models = loop.model_versions()

    def follow(effect: Effect) -> None:
        screen.headline = f"A fault: {plan.fault.name} in {plan.service}. It is your page: open Slack below."
        screen.steps.append(f"took effect: {effect.detail}" if effect.proved else f"no effect: {effect.detail}")
        for _ in story.patience.every(0.5, FAULT_BOUND_S - 20):
            screen.incident = story.first(since)
            if screen.incident and screen.incident.human_state == "resolved":
                return

    journal = run_experiment(
        Experiment(fault=plan.fault, service=plan.service, bound_s=FAULT_BOUND_S),
        story.target,
        story.records(),
        follow,
    )
    incident = story.first(since)
    if incident:
        loop.settle()
        if journal.effect.proved:
            screen.steps.append(f"chaos' own label: the cause was {plan.service} ({plan.fault.mechanism})")
        label = loop.human_label(incident.id)
        if label:
            screen.steps.append(f"your label: cause {label['cause']}, page warranted: {label['warranted']}")
        if loop.postmortem(incident.id):
            screen.steps.append(f"postmortem: watchkeeper postmortem show {incident.id}")
        after = story.learn(models)
        new = [f"{m['name']} v{m['version']} ({m['stage']})" for m in after if m not in models]
        if new:
            screen.steps.append(f"learned from the labels: {', '.join(new)}; see `watchkeeper model list`")
