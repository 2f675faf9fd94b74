"""`watchkeeper bench`: measure against a baseline in the same run."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.command_options import AsJson

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, help="Measure against a baseline in the same run."
)

Data = Annotated[Path | None, typer.Option("--data", help="Folder with the recorded data.")]


@app.command(epilog="Example: watchkeeper bench ingest --seconds 60 --json")
def ingest(
    seconds: Annotated[float, typer.Option(help="How long to send.", min=2)] = 60,
    rate: Annotated[int, typer.Option(help="Spans offered a second.", min=500)] = 84_000,
    as_json: AsJson = False,
) -> None:
    """Spans from the socket to queryable: OTLP/HTTP protobuf, 500 a request, with a query every 200 ms."""
    import_module("bench.ingest").run(seconds=seconds, rate=rate, as_json=as_json)


@app.command(epilog="Example: watchkeeper bench rest --rate 600 --json")
def rest(
    seconds: Annotated[float, typer.Option(help="How long to measure, after a warm-up.", min=10)] = 120,
    rate: Annotated[int, typer.Option(help="Spans a second; logs and metrics come with them.", min=24)] = 600,
    as_json: AsJson = False,
) -> None:
    """CPU, memory and statements of every role together while nothing is wrong."""
    import_module("bench.rest").run(rate=rate, seconds=seconds, as_json=as_json)


@app.command(epilog="Example: watchkeeper bench detect --json")
def detect(
    data: Data = None,
    longest: Annotated[int | None, typer.Option(help="Leave out series with more rows: quicker.", min=1)] = None,
    halves: Annotated[
        bool,
        typer.Option("--halves", help="Instead, choose bar and arming on half of the categories, score the others."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the splits into halves.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Detection beside other libraries: recorded series, speed, drift and log templates."""
    if halves:
        import_module("bench.detect").run_halves(data=data, as_json=as_json, seed=seed)
        return
    import_module("bench.detect").run(data=data, as_json=as_json, longest=longest)


@app.command(epilog="Examples: watchkeeper bench rca --json    watchkeeper bench rca --live-spans 5000000")
def rca(
    data: Data = None,
    live_spans: Annotated[
        int, typer.Option(help="Instead, time a live diagnosis with so many spans in a store of its own.", min=0)
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Diagnosis beside published methods on recorded incidents, or live over millions of spans."""
    import_module("bench.rca").run(data=data, as_json=as_json, live_spans=live_spans)


@app.command(
    epilog="Examples: watchkeeper bench worlds --seeds 2-40 --even --misses    watchkeeper bench worlds --json"
)
def worlds(
    seeds: Annotated[
        str, typer.Option(help="Simulated systems: even seeds are for development, odd ones for reporting.")
    ] = "2-20",
    even: Annotated[bool, typer.Option("--even", help="Only even seeds: those that development may look at.")] = False,
    odd: Annotated[bool, typer.Option("--odd", help="Only odd seeds: those that are kept for reporting.")] = False,
    calm_hours: Annotated[
        float, typer.Option(help="Watch each system so long without any fault, too: for false pages.", min=0, max=24)
    ] = 0,
    jobs: Annotated[int | None, typer.Option(help="Processes; one a core by default.", min=1)] = None,
    misses: Annotated[bool, typer.Option("--misses", help="List each miss, wrong name and false page, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Detection and diagnosis in simulated systems with known faults, beside Prometheus-style rules."""
    bench = import_module("bench.worlds.run")
    try:
        chosen = bench.seeds_of(seeds, even=even, odd=odd)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--seeds") from error
    bench.run(seeds=chosen, calm_hours=calm_hours, jobs=jobs, as_json=as_json, misses=misses)


@app.command(
    epilog="Examples: watchkeeper bench foreign --rounds 2    watchkeeper bench foreign --fault hang --quiet-minutes 0"
)
def foreign(
    rounds: Annotated[int, typer.Option(help="How often each fault happens.", min=1)] = 1,
    quiet_minutes: Annotated[
        float, typer.Option(help="Minutes of harmless changes beforehand, in which no page may come.", min=0)
    ] = 20.0,
    hold: Annotated[float, typer.Option(help="Seconds that each fault lasts.", min=10)] = 60.0,
    fault: Annotated[list[str] | None, typer.Option(help="Only this fault; may be repeated.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Folder for data and logs, which is kept.")] = None,
    as_json: AsJson = False,
) -> None:
    """Real faults in a real system of stock programs: nginx, Node services, PostgreSQL and Redis."""
    import_module("bench.foreign").run(
        rounds=rounds, quiet_minutes=quiet_minutes, hold_s=hold, kinds=fault or [], as_json=as_json, keep=keep
    )


@app.command(
    epilog="Examples: watchkeeper bench campaign --experiments 60 --keep watchkeeper-data/campaign    "
    "watchkeeper bench campaign --system foreign --experiments 30"
)
def campaign(
    system: Annotated[str, typer.Option(help="shop or foreign.")] = "shop",
    experiments: Annotated[int, typer.Option(help="How many experiments to run.", min=1)] = 60,
    scheduled: Annotated[int, typer.Option(help="How many of them, the first, run by their schedules.", min=0)] = 0,
    control_every: Annotated[int, typer.Option(help="Experiments between two control windows.", min=1)] = 6,
    control_minutes: Annotated[float, typer.Option(help="How long a control window lasts.", min=0.1)] = 2.0,
    seed: Annotated[int, typer.Option(help="Of the customers.")] = 1,
    keep: Annotated[Path, typer.Option(help="Folder for report, data and logs.")] = Path("watchkeeper-data/campaign"),
    as_json: AsJson = False,
) -> None:
    """The experiments that the coverage map proposes, with control windows: a scorecard, and what the gate says."""
    import_module("bench.campaign").run(
        system=system,
        root=keep.absolute(),
        seed=seed,
        experiments=experiments,
        scheduled=scheduled,
        control_every=control_every,
        control_s=60 * control_minutes,
        as_json=as_json,
    )


@app.command(
    epilog="Examples: watchkeeper bench unattended    "
    "watchkeeper bench unattended --system foreign --service readers --runs 5"
)
def unattended(
    system: Annotated[str, typer.Option(help="shop or foreign.")] = "shop",
    fault: Annotated[str, typer.Option(help="What happens, again and again.")] = "kill",
    service: Annotated[str, typer.Option(help="To which service.")] = "payments",
    runbook: Annotated[str, typer.Option(help="Which runbook may run without a human, once it is proved.")] = (
        "start-service"
    ),
    proof: Annotated[int, typer.Option(help="Runs that a human approves before.", min=3)] = 3,
    runs: Annotated[int, typer.Option(help="Faults after that.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Of the customers.")] = 1,
    keep: Annotated[Path, typer.Option(help="Folder for data and logs.")] = Path("watchkeeper-data/unattended"),
    as_json: AsJson = False,
) -> None:
    """A runbook earns that it may run without a human, and then repairs without one, in the whole loop."""
    import_module("bench.unattended").run(
        system=system,
        root=keep.absolute(),
        seed=seed,
        fault=fault,
        service=service,
        runbook=runbook,
        proof=proof,
        runs=runs,
        as_json=as_json,
    )


@app.command(epilog="Examples: watchkeeper bench cures --system shop    watchkeeper bench cures --runs 3 --fault kill")
def cures(
    system: Annotated[list[str] | None, typer.Option(help="shop or foreign; both by default.")] = None,
    runs: Annotated[int, typer.Option(help="How often each fault happens and is repaired.", min=1)] = 10,
    fault: Annotated[list[str] | None, typer.Option(help="Only this fault; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Runbooks against faults that an agent still holds: how often they repair the service, and in which time."""
    import_module("bench.cures").run(systems=system or [], runs=runs, faults=fault or [], as_json=as_json)


@app.command(epilog="Example: watchkeeper bench storm --alerts 10000 --services 2000 --json")
def storm(
    alerts: Annotated[int, typer.Option(help="How many fire at once.", min=100)] = 10_000,
    services: Annotated[int, typer.Option(help="Of how many services.", min=1)] = 2_000,
    peer: Annotated[bool, typer.Option("--peer/--no-peer", help="Alertmanager beside, where it is installed.")] = True,
    as_json: AsJson = False,
) -> None:
    """Thousands of alerts at once: how they are grouped, what Slack and the people on call get, and what it costs."""
    import_module("bench.storm").run(alerts=alerts, services=services, peer=peer, as_json=as_json)


@app.command(
    epilog="Examples: watchkeeper bench dashboard --scale 0.1    "
    "watchkeeper bench dashboard --keep watchkeeper-data/bench --json"
)
def dashboard(
    scale: Annotated[
        float, typer.Option(help="1 is 10 million spans, 1 million log lines and 100,000 series.", min=0.0001, max=10)
    ] = 1,
    rounds: Annotated[int, typer.Option(help="How often each page is opened.", min=1, max=100)] = 3,
    readers_s: Annotated[float, typer.Option("--readers-s", help="Seconds that twenty readers stay.", min=5)] = 40,
    most_gib: Annotated[float, typer.Option("--most-gib", help="The most that may be written to disk.", min=0.1)] = 12,
    keep: Annotated[Path | None, typer.Option(help="A new folder for data and logs, which is kept.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every page of the dashboard over a full store, beside the same questions put to the store directly."""
    import_module("bench.dashboard_pages").run(
        scale=scale, rounds=rounds, most_gib=most_gib, readers_s=readers_s, keep=keep, as_json=as_json
    )
