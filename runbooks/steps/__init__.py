"""Steps of runbooks: one file a verb, one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from runbooks.step import Step
from runbooks.steps.release_database import ReleaseDatabase
from runbooks.steps.reroute import Reroute
from runbooks.steps.restart import Restart
from runbooks.steps.resume import Resume
from runbooks.steps.rollback import Rollback
from runbooks.steps.start import Start
from runbooks.steps.verify import Verify

STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "start": Start(),
        "restart": Restart(),
        "resume": Resume(),
        "rollback": Rollback(),
        "reroute": Reroute(),
        "release-database": ReleaseDatabase(),
        "verify": Verify(),
    }
)
