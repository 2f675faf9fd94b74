"""The command line's front door: one table of commands, and every known error as one clear line."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType

from watchkeeper import __version__
from watchkeeper.errors import WatchkeeperError

# Command → its module (which holds a Typer named `app`) and its line in the help.
# A module is imported only when its command is asked for, so that `watchkeeper --help` answers at once.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("chaos.demo.command", "Start a shop, Watchkeeper and a fault, and show the whole loop."),
    "init": ("alerting.commands.init", "Write a first configuration file, and print what to do next."),
    "up": ("watchkeeper.cli.up", "Start every role in this terminal."),
    "store": ("watchkeeper.cli.store", "Serve the embedded telemetry store."),
    "ingest": ("watchkeeper.cli.ingest", "Receive telemetry, alerts and change events."),
    "watch": ("watchkeeper.cli.watch", "Detect, diagnose, page and learn."),
    "web": ("watchkeeper.cli.web", "Serve the dashboard, the API and Slack's endpoint."),
    "parts": ("watchkeeper.cli.parts", "List detectors, evidence, channels and every other part that is installed."),
    "validate": ("watchkeeper.cli.validate", "Check a configuration file."),
    "test-page": ("watchkeeper.cli.drill", "Send one person a page that says it is a test."),
    "traces": ("collectors.commands.traces", "Show the newest traces that arrived."),
    "doctor": ("watchkeeper.cli.doctor", "Check ports, disk, clock, Slack and store, and suggest what to do."),
    "ask": ("watchkeeper.cli.ask", "Answer a question: why is it slow, what changed, who is on call, what is open."),
    "incident": ("watchkeeper.cli.incident", "List, show, acknowledge, assign, merge, resolve and label incidents."),
    "silence": ("alerting.commands.silence", "Suppress pages for a while, by service, kind or label."),
    "grouping": ("alerting.commands.grouping", "Show what merges have taught, and forget some of it."),
    "runbook": ("watchkeeper.cli.runbook", "List, check, plan and run runbooks, and answer what they ask."),
    "alerts": ("alerting.commands.alerts", "List alerts from outside, and end one."),
    "heartbeat": ("watchkeeper.cli.heartbeat", "List the systems that must show that they are alive."),
    "oncall": ("alerting.commands.oncall", "Who is on call."),
    "audit": ("watchkeeper.cli.audit", "List what people changed, and verify that the record is whole."),
    "backup": ("watchkeeper.cli.backup", "Copy the state database while the roles run."),
    "restore": ("watchkeeper.cli.restore", "Put a copy of the state database back."),
    "postmortem": ("alerting.commands.postmortem", "Draft and show postmortems."),
    "boards": ("dashboard.boards.commands.boards", "List and check boards, and make one of a Grafana dashboard."),
    "status": ("alerting.commands.status", "Write status updates of incidents, and the public status page."),
    "model": ("detectors.learning.commands.model", "List, promote and roll back detector models."),
    "agent": ("agent.commands.agent", "Run the agent of this host, which breaks and repairs what its file lists."),
    "chaos": ("chaos.commands.experiment", "Break the target on purpose, and score the loop."),
    "token": ("collectors.commands.token", "Make a credential for a writer."),
    "rca": ("watchkeeper.cli.rca", "Rank suspects for recorded incidents, and train the weights on labels."),
    "detect": ("detectors.commands.detect", "Score recorded series for anomalies."),
    "templates": ("detectors.commands.templates", "Mine the templates of a log file."),
    "standin": ("watchkeeper.cli.standin", "Serve the local stand-in for Slack."),
    "bench": ("bench.command", "Measure against a baseline in the same run."),
}
ROLES = ("store", "ingest", "watch", "web", "standin")
# What must answer at once has a module of its own, without the libraries of its neighbours. It declines (False)
# what it would have to explain: help, and mistakes.
QUICK: dict[tuple[str, str], str] = {("incident", "list"): "alerting.commands.incident_list"}


HELP = """Usage: watchkeeper COMMAND [OPTIONS]

Telemetry in, a diagnosed page out, a human's label back.

Commands:
{commands}

Examples:
  watchkeeper demo
  watchkeeper init
  watchkeeper up --config watchkeeper.yaml
  watchkeeper incident list --json

`watchkeeper COMMAND --help` shows a command's options and examples.
`watchkeeper --version` prints the version."""


def _command(name: str) -> ModuleType:
    """The module of a command.

    Raises:
        WatchkeeperError: it is not part of an installation from the wheel.
    """
    module = COMMANDS[name][0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise WatchkeeperError(
            f"`watchkeeper {name}` is for developers and not installed: run it in a clone, after `make dev`"
        ) from error


def main() -> None:
    """Run one command; a known error is one line on stderr and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that knows no arrows gets "\\u2192", not a traceback
            # A line in a file or a pipe is there at once, lest a service's log stay empty for an hour.
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print(HELP.format(commands="\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())))
        return
    name, rest = arguments[0], arguments[1:]
    if name in ("-V", "--version"):
        print(f"watchkeeper {__version__}")
        return
    if name not in COMMANDS:
        close = get_close_matches(name, COMMANDS, n=1)
        hint = f"Did you mean `{close[0]}`?" if close else "`watchkeeper --help` lists the commands."
        print(f"watchkeeper: no command {name!r}. {hint}", file=sys.stderr)
        sys.exit(2)
    try:
        _check_surroundings(rest)
        quick = QUICK.get((name, rest[0] if rest else ""))
        if quick and import_module(quick).run(rest[1:]):
            return
        _command(name).app(args=rest, prog_name=f"watchkeeper {name}")
    except WatchkeeperError as error:
        print(f"watchkeeper: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # the reader of a pipe went away: `watchkeeper incident list | head`
        sys.exit(0)
    except Exception as error:
        if name in ROLES:  # its log is where the traceback is looked for
            raise
        print(f"watchkeeper: `watchkeeper {name}` failed: {_in_words(error)}{_kept(error)}", file=sys.stderr)
        sys.exit(1)


def _check_surroundings(arguments: list[str]) -> None:
    """Refuse to begin where every path, or what was typed, would mean something else.

    Raises:
        WatchkeeperError: says what to do.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise WatchkeeperError("the working directory no longer exists; change to another one") from error
    for argument in arguments:
        if not argument.isascii() and any("\udc80" <= character <= "\udcff" for character in argument):
            raise WatchkeeperError(
                f"{argument!a} is no text in this terminal's encoding ({sys.getfilesystemencoding()}); "
                "set LC_ALL=C.UTF-8 and type it again"
            )


def _in_words(error: Exception) -> str:
    """An error that no command expected, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(f"{type(error).__name__}: {error}".split())


def _kept(error: Exception) -> str:
    """Keep the traceback for a report, and say where."""
    try:
        import tempfile  # both take longer than all the rest that a quick command needs
        import traceback

        with tempfile.NamedTemporaryFile("w", prefix="watchkeeper-", suffix=".txt", delete=False) as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:  # no folder for temporary files can be written
        return ""
    return f"\nIf nothing on this machine explains it, report it with the traceback in {file.name}"


if __name__ == "__main__":
    main()
