"""A statement that was recorded can be run again as it was sent."""

from __future__ import annotations

import pytest

from bench.own_roles import OwnRoles
from tests.hostile import HOSTILE
from watchkeeper.errors import StoreError
from watchkeeper.store.recording import Statement, note, noted, recording
from watchkeeper.store.telemetry import Telemetry

ECHO = "SELECT {text:String} AS text, {numbers:Array(UInt32)} AS numbers, {share:Float64} AS share"


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_filled_sql_gives_what_parameters_gave(name: str, roles: OwnRoles) -> None:
    """Quotes, backslashes and controls in a value stay a value."""
    telemetry = roles.telemetry
    text = HOSTILE[name][:1000].replace("\x00", "")
    with recording() as made:
        sent = telemetry.query(ECHO, {"text": text, "numbers": [1, 2], "share": 0.5}).to_pylist()
    assert telemetry.query(made[0].filled()).to_pylist() == sent


def test_an_inner_recording_keeps_its_statements_and_nothing_is_kept_outside() -> None:
    """Whoever wants them in both notes them again."""
    one = Statement(sql="SELECT 1", parameters={})
    note([one])
    assert noted() == ()
    with recording() as outer:
        with recording() as inner:
            note([one])
        assert (inner, outer) == ([one], [])
        note(inner)
    assert outer == [one]
    assert noted() == ()


def test_a_statement_that_failed_is_recorded_too() -> None:
    """What was asked is known before the answer."""
    away = Telemetry(url="http://127.0.0.1:9", database="otel", user="", password="")
    with recording() as made, pytest.raises(StoreError):
        away.query("SELECT 1")
    assert [one.sql for one in made] == ["SELECT 1"]
