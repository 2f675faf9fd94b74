"""A plot is drawn in another process, and whatever its texts hold can be read."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager

from alerting.pictures import fonts
from alerting.pictures.draw import png
from alerting.pictures.drawing import SIGNATURE, drawn
from alerting.pictures.plot import Plot
from watchkeeper.errors import DeliveryError

ONSET = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHINESE = "\u7d50\u5e33"  # "checkout"


def plot(title: str = "orders-db: failed requests $x$ of payments", sentence: str = "it fails", unit: str = "") -> Plot:
    """Half an hour in which errors begin."""
    return Plot(
        title=title,
        sentence=sentence,
        unit=unit,
        start=ONSET - timedelta(minutes=20),
        step_s=15,
        values=(*([0.002, 0.004] * 40), *([0.31] * 40)),
        onset=ONSET,
        usual=(0.002, 0.004),
    )


@pytest.fixture
def chinese_font(tmp_path: Path) -> Iterator[None]:
    """A font with two Chinese characters and nothing else, installed under a name that pictures look for."""
    file = tmp_path / "chinese.ttf"
    write_font(file, "Noto Sans CJK JP", CHINESE)
    before = list(fontManager.ttflist)
    fontManager.addfont(file)
    yield
    fontManager.ttflist = before
    fontManager._findfont_cached.cache_clear()


def write_font(file: Path, family: str, characters: str) -> None:
    """Each character is a bar."""
    pen = TTGlyphPen(None)
    for number, point in enumerate([(100, 0), (100, 700), (300, 700), (300, 0)]):
        (pen.lineTo if number else pen.moveTo)(point)
    pen.closePath()
    names = [".notdef", *(f"u{ord(character):x}" for character in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(character): name for character, name in zip(characters, names[1:], strict=True)})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (400, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(file)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (f"{CHINESE}-db: failed requests", "…-db: failed requests"),
        (f"{CHINESE}{CHINESE}", "…"),
        ("\U0001f525\U0001f525 payments \U0001f525", "… payments …"),
        (f"cut at {CHINESE}…", "cut at …"),
    ],
)
def test_what_no_font_has_is_left_out_of_a_picture(text: str, seen: str) -> None:
    """No boxes: the picture is that of the text without it, and nothing complains."""
    assert png(plot(title=text, sentence=text)) == png(plot(title=seen, sentence=seen))


@pytest.mark.parametrize("text", ["Störung", "Ελλάδα", "Оплата 5 €", "[a-z]^\\", "a…b"])
def test_what_a_font_has_stays(text: str) -> None:
    """Signs that mean something elsewhere are signs."""
    assert fonts.legible(text, fonts.installed()) == text


def test_a_unit_that_no_font_has_stands_nowhere() -> None:
    """Beside each number of the axis, an ellipsis would help nobody."""
    assert png(plot(unit=CHINESE)) == png(plot(unit=""))


@pytest.mark.usefixtures("chinese_font")
def test_an_installed_font_shows_what_the_first_lacks() -> None:
    """The title is written with both; what neither has is still left out."""
    assert fonts.legible(f"{CHINESE} a \U0001f525", fonts.installed()) == f"{CHINESE} a …"
    assert png(plot(title=f"{CHINESE}-db")) != png(plot(title="…-db"))


def test_a_plot_is_drawn_in_another_process(tmp_path: Path) -> None:
    """A PNG of the size that Slack shows; whatever the title holds."""
    picture = drawn(plot(title=f"orders-db: $x$ {CHINESE}"), tmp_path, timeout_s=600)
    assert picture.startswith(SIGNATURE)
    width, height = (int.from_bytes(picture[at : at + 4]) for at in (16, 20))
    assert (width, height) == (1200, 570)
    assert len(picture) < 300_000


def test_a_drawing_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """The role that asked for it goes on."""
    began = time.monotonic()
    with pytest.raises(DeliveryError, match="not drawn within"):
        drawn(plot(title=f"orders-db: $x$ {CHINESE}"), tmp_path, timeout_s=0.01)
    assert time.monotonic() - began < 60


def test_the_role_that_pages_never_loads_what_draws() -> None:
    """Neither the library, nor anything of the dashboard that shows pages."""
    code = "import sys, watchkeeper.roles.picturing; print({'matplotlib', 'dash', 'plotly', 'PIL'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
