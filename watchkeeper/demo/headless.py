"""`watchkeeper demo --headless`: the whole loop with a scripted human, measured, in at most ten minutes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from chaos.scorecard import Scored, score
from chaos.target import Target
from watchkeeper.demo.human import ScriptedHuman
from watchkeeper.demo.loop import Loop
from watchkeeper.demo.processes import Patience, PeakMemory, Shop, Stopped, shop_memory_mib
from watchkeeper.demo.report import Report
from watchkeeper.demo.settings import Settings, prepare
from watchkeeper.demo.story import Story, run_course
from watchkeeper.errors import WatchkeeperError
from watchkeeper.roles.up import Supervisor, stopping_on_signals

RATE_PER_S = 16.0
Say = Callable[[str], None]


def run(root: Path, seed: int, say: Say) -> Report:
    """Start everything, run the course, stop everything. Raises Stopped on Ctrl-C."""
    started = time.time()
    settings = prepare(root)
    say(f"data and logs: {settings.config.data_dir.parent}")
    shop = Shop(settings, seed=seed, rate_per_s=RATE_PER_S)
    supervisor = Supervisor(settings.config, settings.config_path, say=say)
    memory = PeakMemory()
    patience = Patience()
    with stopping_on_signals() as asked:
        try:
            supervisor.start()
            shop.await_ready()
            say(f"dashboard: {settings.dashboard_url}")
            say(f"Slack page: {settings.stand_in_url}/")
            course = _Course(settings, seed, patience, say, began=started)
            course.start()
            while course.is_alive():
                supervisor.tend()
                memory.sample(supervisor.pids())
                if asked():
                    patience.stop()
                course.join(0.5)
            shop_mib = shop_memory_mib(shop.process.pid)
        finally:
            patience.stop()
            shop.stop()
            supervisor.stop()
    return course.report(
        seconds=round(time.time() - started, 1),
        peak_rss_mib={role: round(mib) for role, mib in memory.mib.items()},
        roles_together_mib=round(memory.together_mib),
        shop_mib=round(shop_mib),
        role_restarts=dict(supervisor.restarts),
        data_dir=str(settings.config.data_dir.parent),
    )


class _Course(threading.Thread):
    """The course beside the main thread, which tends the processes that it started."""

    def __init__(self, settings: Settings, seed: int, patience: Patience, say: Say, *, began: float) -> None:
        super().__init__(name="course", daemon=True)
        self._settings = settings
        self._seed = seed
        self._began = began
        self._patience = patience
        self._say = say
        self._measured: Callable[..., Report] | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._measured = self._play()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread, by `report`
            self._error = error

    def report(self, **measured: object) -> Report:
        """The course's report completed with what the main thread measured; raises what the course raised."""
        if self._error:
            raise self._error
        if self._measured is None:
            raise WatchkeeperError("the demo ended before its course did")
        return self._measured(**measured)

    def _play(self) -> Callable[..., Report]:
        settings = self._settings
        loop = Loop(settings.config)
        target = Target(f"http://127.0.0.1:{settings.shop_port}", settings.shop_token, settings.shop_dir)
        story = Story(loop, target, self._patience, self._say, began=self._began)
        human = ScriptedHuman(settings.stand_in_url, self._patience, story.verdict)
        human.start()
        try:
            before = loop.model_versions()
            faults, problems = run_course(story, self._seed)
            after = story.learn(before)
            shadow = loop.would_have_changed()
            silent = [verdict["incident"] for verdict in shadow if not verdict["would_page"]]
            self._say(f"learnt: {len(after)} model versions; the newest would not have paged for {silent or 'none'}")
            own = {report.incident for report in faults}
            extra = [one for one in loop.incidents.list(limit=200) if one.thread and one.id not in own]
        finally:
            target.close()
            if not self._patience.over:
                self._patience.stop()
            human.join()
            loop.close()
        card = score([Scored.read(asdict(report)) for report in faults])

        def finish(**measured: object) -> Report:
            return Report(
                seed=self._seed,
                faults=tuple(faults),
                control={"minutes": story.control_minutes, "pages": story.control_pages},
                models={"before": before, "after": after, "shadow_verdicts": shadow},
                scorecard=asdict(card),
                extra_pages=len(extra) - story.control_pages,
                human_refusals=tuple(human.refusals),
                problems=tuple(problems),
                **measured,  # type: ignore[arg-type]
            )

        return finish


__all__ = ["Stopped", "run"]
