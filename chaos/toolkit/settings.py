"""The settings of Chaos Toolkit's own file, and the controls that hold for every experiment."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from chaoslib.control import load_global_controls
from chaoslib.settings import CHAOSTOOLKIT_CONFIG_PATH, load_settings

from chaos.toolkit.document import strategy_mistakes
from watchkeeper.errors import ChaosError
from watchkeeper.text import one_line


def read_settings(control_files: Iterable[Path] = (), file: str = CHAOSTOOLKIT_CONFIG_PATH) -> dict[str, Any]:
    """The settings, empty without a file; its controls and those of `control_files` are loaded.

    Raises:
        ChaosError: a file is not what the library expects; says which and where.
    """
    try:
        if Path(file).exists():
            yaml.safe_load(Path(file).read_text())  # the library logs a mistake, and goes on without settings
        settings = load_settings(file) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ChaosError(f"{file}: cannot be read: {one_line(error)}") from error
    if not isinstance(settings, dict):
        raise ChaosError(f"{file}: settings are names and values, such as runtime and controls")
    for place, what in strategy_mistakes(settings):
        raise ChaosError(f"{file}: {'.'.join(map(str, place))}: {what}")
    controls = settings.setdefault("controls", {}) or {}
    if not isinstance(controls, dict) or not all(isinstance(each, dict) for each in controls.values()):
        raise ChaosError(f"{file}: controls: each has a name, and under it a provider")
    settings["controls"] = controls
    paths = [str(path) for path in control_files]
    try:
        load_global_controls(settings, paths)
    except Exception as error:  # the library expects a form, and controls are modules of somebody else
        where = ", ".join((file, *paths) if controls else paths)
        raise ChaosError(f"{where}: controls cannot be loaded: {type(error).__name__}: {one_line(error)}") from error
    return settings
