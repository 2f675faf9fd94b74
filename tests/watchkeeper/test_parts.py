"""Parts are found by entry point; one that cannot be loaded is named with its reason and costs the others nothing."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, EntryPoints
from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

from watchkeeper.parts import Registry, read_registry

_NUMBERS = count()


def accept(name: str, loaded: object) -> object:
    """A part in these tests is whatever can be called."""
    if not callable(loaded):
        raise TypeError(f"{name} is no detector: it cannot be called")
    return loaded


class Shelf:
    """A folder on the import path in which distributions are laid out as an installer does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.distributions: list[Distribution] = []

    def put(self, distribution: str, points: str, code: str = "", version: str = "1.2.3") -> str:
        """Install a distribution with one module; `{module}` in `points` is its name, which is returned."""
        module = f"shelf_part_{next(_NUMBERS)}"
        (self.folder / f"{module}.py").write_text(dedent(code))
        info = self.folder / f"{distribution}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        declared = points.format(module=module)
        (info / "entry_points.txt").write_text(f"[watchkeeper.detectors]\n{declared}\n")
        self.distributions.append(Distribution.at(info))
        return module

    def read(self) -> Registry[object]:
        points = [point for distribution in self.distributions for point in distribution.entry_points]
        return read_registry("detector", accept, EntryPoints(points))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.syspath_prepend(tmp_path)
    return Shelf(tmp_path)


GOOD = '''
def sawtooth():
    """Sees sawtooth patterns in memory.

    Costs nothing.
    """
'''


def test_a_part_comes_with_its_name_origin_version_and_first_line(shelf: Shelf) -> None:
    """What `watchkeeper parts` shows is what the package declares."""
    shelf.put("more-detectors", "sawtooth = {module}:sawtooth", GOOD)
    registry = shelf.read()
    part = registry.parts["sawtooth"]
    assert (part.kind, part.name, part.origin) == ("detector", "sawtooth", "more-detectors 1.2.3")
    assert part.version == "1.2.3"
    assert part.summary == "Sees sawtooth patterns in memory."
    assert registry.values() == {"sawtooth": part.value}
    assert registry.broken == ()


def test_a_part_with_a_version_of_its_own_shows_that(shelf: Shelf) -> None:
    """A part's version need not be its package's."""
    shelf.put("more-detectors", "sawtooth = {module}:sawtooth", GOOD + "\nsawtooth.version = '7'\n")
    assert shelf.read().parts["sawtooth"].version == "7"


def test_a_record_is_described_by_what_it_names(shelf: Shelf) -> None:
    """A record has no docstring of its own worth showing, so it may say what describes it."""
    code = GOOD + "\nclass Record:\n    described_by = sawtooth\n    def __call__(self): ...\nrecord = Record()\n"
    shelf.put("more-detectors", "sawtooth = {module}:record", code)
    assert shelf.read().parts["sawtooth"].summary == "Sees sawtooth patterns in memory."


@pytest.mark.parametrize(
    ("points", "code", "reason"),
    [
        ("bad = not_installed_at_all.part:x", "", "ModuleNotFoundError: No module named 'not_installed_at_all'"),
        ("bad = {module}:absent", "", "has no attribute 'absent'"),
        ("bad = {module}:x", "raise RuntimeError('no licence\\nfor this host')", "RuntimeError: no licence for this"),
        ("bad = {module}:x", "import sys\nsys.exit('I give up')", "SystemExit: I give up"),
        ("bad = {module}:x", "x = 3", "TypeError: bad is no detector: it cannot be called"),
        ("b a d = {module}:x", "def x(): ...", "may hold letters, digits"),
    ],
    ids=["module missing", "attribute missing", "raises on import", "exits on import", "wrong shape", "name"],
)
def test_a_broken_part_is_named_with_its_reason_and_the_others_are_loaded(
    shelf: Shelf, points: str, code: str, reason: str
) -> None:
    """One bad package must not take the others with it."""
    shelf.put("bad-parts", points, code)
    shelf.put("more-detectors", "sawtooth = {module}:sawtooth", GOOD)
    registry = shelf.read()
    assert list(registry.parts) == ["sawtooth"]
    (broken,) = registry.broken
    assert (broken.kind, broken.name, broken.origin) == ("detector", points.partition(" =")[0], "bad-parts 1.2.3")
    assert reason in broken.reason
    assert "\n" not in broken.reason


def test_watchkeepers_own_part_keeps_its_name(shelf: Shelf) -> None:
    """A stranger cannot take the place of a built-in part, in whatever order they are found."""
    shelf.put("another", "sawtooth = {module}:sawtooth", GOOD)
    shelf.put("watchkeeper", "sawtooth = {module}:sawtooth", GOOD, version="0.1.0")
    registry = shelf.read()
    assert registry.parts["sawtooth"].origin == "watchkeeper 0.1.0"
    (broken,) = registry.broken
    assert broken.origin == "another 1.2.3"
    assert "'sawtooth' is taken by watchkeeper 0.1.0" in broken.reason


def test_of_two_strangers_the_same_one_wins_always(shelf: Shelf) -> None:
    """Which of two parts of one name is used does not depend on the order on disk."""
    shelf.put("zeta", "sawtooth = {module}:sawtooth", GOOD)
    shelf.put("alpha", "sawtooth = {module}:sawtooth", GOOD)
    assert shelf.read().parts["sawtooth"].origin == "alpha 1.2.3"


def test_nothing_is_imported_before_the_registry_is_read(shelf: Shelf) -> None:
    """An installed package costs nothing where its kind is not asked for."""
    module = shelf.put("more-detectors", "sawtooth = {module}:sawtooth", GOOD)
    assert module not in sys.modules
    shelf.read()
    assert module in sys.modules
