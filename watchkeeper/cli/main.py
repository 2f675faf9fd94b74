"""The command line's front door: one table of commands, and every known error as one clear line."""

from __future__ import annotations

import sys
from importlib import import_module

import click
import typer
from typer.core import TyperGroup

from watchkeeper import __version__
from watchkeeper.errors import WatchkeeperError

# Command → its module under watchkeeper.cli (which holds a Typer named `app`) and its line in the help.
# A module is imported only when its command is asked for, so that `watchkeeper --help` answers at once.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Start a shop, Watchkeeper and a fault, and show the whole loop."),
    "up": ("up", "Start every role in this terminal."),
    "store": ("store", "Serve the embedded telemetry store."),
    "ingest": ("ingest", "Receive telemetry, alerts and change events."),
    "watch": ("watch", "Detect, diagnose, page and learn."),
    "web": ("web", "Serve the dashboard, the API and Slack's endpoint."),
    "validate": ("validate", "Check a configuration file."),
    "doctor": ("doctor", "Check ports, disk, clock, Slack and store, and say what to do."),
    "incident": ("incident", "List, show, acknowledge, resolve and label incidents."),
    "oncall": ("oncall", "Who is on call."),
    "postmortem": ("postmortem", "Draft and show postmortems."),
    "model": ("model", "List, promote and roll back detector models."),
    "chaos": ("chaos", "Break the target on purpose, and score the loop."),
    "token": ("token", "Make a credential for a writer."),
    "rca": ("rca", "Rank suspects for a pack of recorded incidents."),
    "detect": ("detect", "Score recorded series for anomalies."),
    "templates": ("templates", "Mine the templates of a log file."),
    "bench": ("bench", "Measure against a baseline in the same run."),
}


class LazyGroup(TyperGroup):
    """A group that imports a command's module when the command is run, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"watchkeeper.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "COMMAND [OPTIONS]")
        formatter.write_paragraph()
        formatter.write_text("Telemetry in, a diagnosed page out, a human's label back.")
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        with formatter.section("Examples"):
            formatter.write_text("watchkeeper demo")
            formatter.write_text("watchkeeper up --config watchkeeper.yaml")
            formatter.write_text("watchkeeper incident list --json")
        formatter.write_paragraph()
        formatter.write_text("`watchkeeper COMMAND --help` shows a command's options and examples.")


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        print(f"watchkeeper {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; a known error is one line on stderr and its exit code."""
    try:
        app(prog_name="watchkeeper")
    except WatchkeeperError as error:
        print(f"watchkeeper: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe went away: `watchkeeper incident list | head`
        sys.exit(0)


if __name__ == "__main__":
    main()
