"""One run with a scripted human: start the shop and every role, play a course, measure, stop everything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from chaos.demo.human import ScriptedHuman
from chaos.demo.loop import Loop
from chaos.demo.processes import Patience, PeakMemory, Shop, Stopped, shop_memory_mib
from chaos.demo.report import Measured
from chaos.demo.settings import Settings, prepare
from chaos.demo.story import Stage, Story
from chaos.shop.running import shop_target
from watchkeeper.errors import WatchkeeperError
from watchkeeper.roles.up import Interrupted, Supervisor, stopping_on_signals

RATE_PER_S = 16.0  # customers' requests: what two cores bear beside every role
Notify = Callable[[str], None]
Played = TypeVar("Played")


def perform(
    root: Path,
    seed: int,
    notify: Notify,
    play: Callable[[Story], Played],
    *,
    autonomous: Mapping[str, Any] | None = None,
) -> tuple[Played, Measured]:
    """Start everything, play the course, stop everything. `autonomous`: what the policy lets run without a human.

    Raises:
        Stopped: on Ctrl-C.
    """
    started = time.time()
    settings = prepare(root, autonomous)
    notify(f"data and logs: {settings.config.data_dir.parent}")
    shop = Shop(settings, seed=seed, rate_per_s=RATE_PER_S)
    memory = PeakMemory()
    patience = Patience()
    with stopping_on_signals() as asked:
        supervisor = Supervisor(settings.config, settings.config_path, notify=notify, asked_to_stop=asked)
        try:
            supervisor.start()
            shop.await_ready(asked)
            notify(f"dashboard: {settings.dashboard_url}")
            notify(f"Slack page: {settings.stand_in_url}/")
            course = _Course(settings, patience, notify, play, began=started)
            course.start()
            while course.is_alive():
                supervisor.tend()
                memory.sample(supervisor.pids())
                if asked():
                    patience.stop()
                course.join(0.5)
            shop_mib = shop_memory_mib(shop.process.pid)
        except Interrupted as error:
            raise Stopped from error
        finally:
            patience.stop()
            shop.stop()
            supervisor.stop()
    return course.played(), Measured(
        seconds=round(time.time() - started, 1),
        peak_rss_mib={role: round(mib) for role, mib in memory.mib.items()},
        roles_together_mib=round(memory.together_mib),
        shop_mib=round(shop_mib),
        role_restarts=dict(supervisor.restarts),
        human_refusals=tuple(course.refusals),
        data_dir=str(settings.config.data_dir.parent),
    )


class _Course(threading.Thread, Generic[Played]):
    """The course beside the main thread, which tends the processes that it started."""

    def __init__(
        self, settings: Settings, patience: Patience, notify: Notify, play: Callable[[Story], Played], *, began: float
    ) -> None:
        super().__init__(name="course", daemon=True)
        self._settings = settings
        self._patience = patience
        self._notify = notify
        self._play = play
        self._began = began
        self._result: Played | None = None
        self._error: BaseException | None = None
        self.refusals: list[str] = []

    def run(self) -> None:
        try:
            self._result = self._with_human()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread, by `played`
            self._error = error

    def played(self) -> Played:
        """What the course returned; raises what it raised."""
        if self._error:
            raise self._error
        if self._result is None:
            raise WatchkeeperError("the demo ended before its course did")
        return self._result

    def _with_human(self) -> Played:
        settings = self._settings
        loop = Loop(settings.config)
        target = shop_target(f"http://127.0.0.1:{settings.shop_port}", settings.shop_token)
        stage = Stage(loop=loop, target=target, records_dir=settings.shop_dir, patience=self._patience)
        story = Story(stage, self._notify, began=self._began)
        human = ScriptedHuman(settings.stand_in_url, self._patience, story.verdict)
        human.start()
        try:
            return self._play(story)
        finally:
            target.close()
            if not self._patience.over:
                self._patience.stop()
            human.join()
            self.refusals = human.refusals
            loop.close()
