"""`watchkeeper boards`: the boards that there are, their mistakes, and Grafana dashboards as boards."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from watchkeeper.command_options import AsJson, ConfigPath, Who, actor_of, hint_at_unused_file

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@app.command("list", epilog="Example: watchkeeper boards list --json")
def list_boards(config: ConfigPath = None, as_json: AsJson = False) -> None:
    """The boards of the folder `boards.dir`, with the files that cannot be read."""
    from dashboard.boards.folder import BoardFolder
    from dashboard.urls import board_path
    from watchkeeper.config import load
    from watchkeeper.text import one_line, seen_name
    from watchkeeper.text_columns import print_columns

    settings = load(config)
    files = BoardFolder(settings.boards_dir).files()
    if as_json:
        rows = [
            {
                "name": file.name,
                "title": file.board.title if file.board else None,
                "panels": len(file.board.panels) if file.board else 0,
                "file": str(file.path),
                "mistakes": file.reason.splitlines(),
            }
            for file in files
        ]
        print(json.dumps(rows, indent=2))
    elif not files:
        print(f"No board in {settings.boards_dir}.")
    else:
        shown = [
            (
                seen_name(file.name),
                f"{len(file.board.panels)}" if file.board else "–",
                one_line(file.board.title if file.board else file.reason.splitlines()[0], 200),
                f"{settings.web_url}{board_path(file.name)}" if file.board else "cannot be read",
            )
            for file in files
        ]
        print_columns(("Board", "Panels", "Title or mistake", "Address"), shown)


@app.command(epilog="Examples: watchkeeper boards check    watchkeeper boards check ./boards")
def check(
    folder: Annotated[Path | None, typer.Argument(help="The folder. Default: `boards.dir` of --config.")] = None,
    config: ConfigPath = None,
) -> None:
    """Check every board of a folder. Exit status 2 and a line for each mistake: file, line and key."""
    from dashboard.boards.folder import BoardFolder
    from watchkeeper.config import load
    from watchkeeper.errors import ConfigError

    path = folder or load(config).boards_dir
    if folder and not folder.is_dir():
        raise ConfigError(f"{folder}: is not a folder. Check the path.")
    files = BoardFolder(path).files()
    if mistakes := [line for file in files for line in file.reason.splitlines()]:
        raise ConfigError("\n".join(mistakes))
    print(f"{len(files)} boards in {path} are valid")


@app.command("import", epilog="Example: watchkeeper boards import checkout-1699.json --name checkout")
def import_dashboard(
    file: Annotated[Path, typer.Argument(help="A Grafana dashboard: its JSON model, as Grafana exports it.")],
    name: Annotated[str, typer.Option("--name", help="The board's name. Default: made of its title.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the list and write nothing.")] = False,
    as_json: AsJson = False,
    config: ConfigPath = None,
    who: Who = None,
) -> None:
    """Make a board of a Grafana dashboard as far as it goes, and list what was taken, in part, or not at all."""
    from dashboard.boards.changes import Boards
    from dashboard.boards.folder import BoardFolder
    from dashboard.boards.grafana.dashboard import LARGEST_FILE, imported
    from watchkeeper.clock import SystemClock
    from watchkeeper.config import load
    from watchkeeper.errors import ConfigError
    from watchkeeper.state.database import Database

    hint_at_unused_file(config)
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{file}: cannot be read ({reason}). Check the path.") from error
    try:
        result = imported(raw)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}") from error
    settings = load(config)
    written = None
    if not dry_run:
        with closing(Database.open(settings)) as db:
            boards = Boards(BoardFolder(settings.boards_dir), db, SystemClock())
            written = settings.boards_dir / f"{boards.create(result.board, actor_of(who), name)}.yaml"
    outcomes = [report.outcome for report in result.reports]
    if as_json:
        rows = [{"title": one.title, "outcome": one.outcome, "reasons": one.reasons} for one in result.reports]
        print(json.dumps({"file": str(written) if written else None, "panels": rows}, indent=2))
        return
    for report in result.reports:
        print(f"{report.outcome:<9}  {report.title}")
        for reason in report.reasons:
            print(f"{'':<9}    {reason.lstrip(' ')}")
    counted = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("taken", "in part", "not taken"))
    print(f"{counted}; {f'written to {written}' if written else 'nothing was written (--dry-run)'}")
