"""What an experiment is about: the target that it breaks, and the installation that watches it.

Both are named by options of a command, or by the environment where an experiment runs under another tool.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from watchkeeper.errors import ChaosError

if TYPE_CHECKING:
    from chaos.record import Records
    from chaos.truth import Recorder
    from watchkeeper.config import Config
    from watchkeeper.target import Target

CONFIG_ENV: Final = "WATCHKEEPER_CONFIG"
SHOP_ENV: Final = "WATCHKEEPER_SHOP"
GAME_DAY_ENV: Final = "WATCHKEEPER_GAME_DAY"
FOLDER: Final = "chaos"  # in `data_dir`: the records of experiments against the configured target


def is_game_day() -> bool:
    """Whether nobody is to be shown which fault it is."""
    return bool(os.environ.get(GAME_DAY_ENV))


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """A shop's data directory, a configuration file, or both: then the shop is broken, and the installation learns."""

    shop: Path | None = None
    config_path: Path | None = None

    @classmethod
    def from_environment(cls, shop: str = "", config: str = "") -> Surroundings:
        """What an experiment's arguments name, else the environment."""
        named = {
            "shop": shop or os.environ.get(SHOP_ENV, ""),
            "config_path": config or os.environ.get(CONFIG_ENV, ""),
        }
        return cls(**{key: Path(value) for key, value in named.items() if value})

    def into_environment(self, *, sealed: bool = False) -> None:
        """Name them in the environment, for activities of experiments and the processes that these start."""
        shop, config = (path and str(path.absolute()) for path in (self.shop, self.config_path))
        for name, value in ((SHOP_ENV, shop), (CONFIG_ENV, config), (GAME_DAY_ENV, "1" if sealed else "")):
            if value:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)

    @property
    def names_target(self) -> bool:
        return self.shop is not None or self.config_path is not None

    @cached_property
    def config(self) -> Config:
        """The installation's configuration. Raises ChaosError where none is named."""
        from watchkeeper.config import load

        if self.config_path is None:
            raise ChaosError(f"name the installation: --config FILE, or the environment variable {CONFIG_ENV}")
        return load(self.config_path)

    def target(self) -> Target:
        """The shop, else the configuration's target."""
        from chaos.shop.running import running_shop
        from watchkeeper.target import configured_target

        if self.shop:
            return running_shop(self.shop)
        self.require_target()
        return configured_target(self.config)

    def folder(self) -> Path:
        """Where the target's experiments are recorded."""
        self.require_target()
        return self.shop or self.config.data_dir / FOLDER

    def require_target(self) -> None:
        """Raises ChaosError where neither a shop nor a configuration is named."""
        if not self.names_target:
            raise ChaosError("name the target: --shop DIR, or --config FILE with `targets:`")

    def recorder(self, target: Target, notify: Callable[[str], None]) -> Recorder | None:
        """Who records in the state database of the installation that learns; None where none is named."""
        if self.config_path is None:
            notify("not recorded; use --config to name the installation that learns from it")
            return None
        from chaos.truth import Recorder
        from watchkeeper.state.database import Database

        return Recorder(Database.open(self.config), target, notify)

    def records(self, recorder: Recorder | None = None) -> Records:
        """The target's experiments; with a recorder, after it caught up with earlier ones."""
        from chaos.record import Records

        folder = self.folder()
        if recorder is None:
            return Records(folder)
        recorder.catch_up(Records(folder))
        return Records(folder, recorder)
