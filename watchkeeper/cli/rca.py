"""`watchkeeper rca`: rank recorded incidents, train weights on them, and decide which weights serve."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rca.commands.rank import rank
from rca.commands.train import train
from watchkeeper.command_options import ConfigPath, user_name


class RankUnlessNamed(TyperGroup):
    """`watchkeeper rca PACK` ranks a pack; `watchkeeper rca NAME` is the command of that name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["rank", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, cls=RankUnlessNamed)
app.command(
    epilog="Example: watchkeeper rca packs/shop --out predictions.jsonl\n\n"
    "Exit status: 0 every case is ranked; 1 some case is not, or the pack has a malformed line (see stderr)."
)(rank)
app.command(epilog="Example: watchkeeper rca train packs/shop --out weights.json")(train)

Why = Annotated[str, typer.Option("--why", help="Kept in the record.")]


@app.command(epilog='Example: watchkeeper rca promote 3 --why "right on last week"')
def promote(
    version: Annotated[int, typer.Argument(help="The version of the weights, from `watchkeeper model list`.")],
    config: ConfigPath = None,
    why: Why = "",
) -> None:
    """Let trained weights rank suspects, if the gate lets them; with --why, although it refuses."""
    from alerting.incidents.commands import Incidents
    from rca.learning.causes import judged_causes
    from rca.learning.versions import NAME, WeightsLearner
    from rca.learning.versions import promote as promote_version
    from rca.registry import read_engine
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.state.database import Database
    from watchkeeper.state.labels import labels
    from watchkeeper.state.models import version_of

    tree, clock = load(config), SystemClock()
    db = Database.open(tree)
    model = version_of(db, NAME, version)
    shipped = read_engine().weights
    learner = WeightsLearner(db, clock, shipped, tree.learning)
    judged = judged_causes(Incidents(db, clock, tree.oncall), labels(db), shipped)
    verdict = learner.gate(model, judged, clock.now())
    promote_version(db, version, verdict=verdict, actor=f"cli:{user_name()}", now=clock.now(), why=why)
    print(f"version {version} of the weights serves")


@app.command(epilog='Example: watchkeeper rca rollback --why "blames the database"')
def rollback(config: ConfigPath = None, why: Why = "") -> None:
    """Rank again by what served before. Nothing moves by itself until somebody promotes."""
    from rca.learning.versions import rollback as roll_back
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.state.database import Database

    version = roll_back(Database.open(load(config)), actor=f"cli:{user_name()}", now=SystemClock().now(), why=why)
    print(f"version {version} of the weights serves" if version else "the default weights serve")
