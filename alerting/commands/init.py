"""`watchkeeper init`: a first configuration file, from a few answers."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from alerting.commands.first_config import (
    Answers,
    FirstPerson,
    Ports,
    alertmanager_settings,
    collector_settings,
    exporter_settings,
    system_zone,
    text,
)
from watchkeeper.command_options import user_name
from watchkeeper.config import is_loopback, read
from watchkeeper.errors import ConfigError

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

DEFAULT = Path("watchkeeper.yaml")
PORTS = Ports()
Port = Annotated[int, typer.Option(min=1, max=65535, help="Where this listens.", rich_help_panel="Ports")]


@app.command(epilog='Example: watchkeeper init --yes --person "Ana Souza=U012AB3CD" --timezone America/Sao_Paulo')
def init(
    config: Annotated[
        Path, typer.Option("--config", "-c", envvar="WATCHKEEPER_CONFIG", help="The file to write.")
    ] = DEFAULT,
    person: Annotated[
        list[str] | None,
        typer.Option("--person", help="Who can be paged: NAME, or NAME=SLACK-MEMBER-ID; may be repeated."),
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="The rota's time zone. Default: this machine's.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Where everything is kept, relative to the file.")] = None,
    channel: Annotated[str | None, typer.Option(help="The Slack channel for incidents.")] = None,
    listen: Annotated[
        str, typer.Option(help="Where exporters send to; 0.0.0.0 is every address, and makes a token for them.")
    ] = "127.0.0.1",
    scrape: Annotated[
        list[str] | None, typer.Option(help="A Prometheus target to read: HOST:PORT; may be repeated.")
    ] = None,
    otlp_http_port: Port = PORTS.otlp_http,
    otlp_grpc_port: Port = PORTS.otlp_grpc,
    web_port: Port = PORTS.web,
    store_port: Port = PORTS.store,
    stand_in_port: Port = PORTS.stand_in,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take the defaults.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file; the old one is kept beside it.")] = False,
) -> None:
    """Write a commented configuration file, and print what to do next. Asks for what no option gives."""
    if not force and os.path.lexists(config):
        raise ConfigError(
            f"{config} is there already, and stays as it is. `--force` replaces it, `--config` names another."
        )
    user = user_name()
    people = person or _ask("Who can be paged (names, with commas between)", user.title(), yes).split(",")
    answers = Answers(
        people=[_person(one, yes) for one in people if one.strip()] or [FirstPerson(name=user.title())],
        timezone=timezone or _ask("Time zone of the rota", system_zone(), yes),
        data_dir=data_dir or _ask("Folder for the data, relative to the file", Answers(people=()).data_dir, yes),
        channel=channel or _ask("Slack channel for incidents", Answers(people=()).channel, yes),
        listen=listen,
        token="" if is_loopback(listen) else "wk_" + secrets.token_urlsafe(32),
        scrape=scrape or (),
        ports=Ports(
            otlp_http=otlp_http_port, otlp_grpc=otlp_grpc_port, web=web_port, store=store_port, stand_in=stand_in_port
        ),
    )
    _write(config, answers, force=force)
    _tell(config, answers)


def _ask(question: str, default: str, yes: bool) -> str:
    if yes:
        return default
    try:
        return str(typer.prompt(question, default=default)).strip() or default
    except typer.Abort:
        raise ConfigError("nothing was written: answer the questions, or take the defaults with `--yes`") from None


def _person(given: str, yes: bool) -> FirstPerson:
    name, _, member = (part.strip() for part in given.partition("="))
    if not member:
        member = _ask(f"Slack member id of {name} (leave it at `none` for the local stand-in)", "none", yes)
    return FirstPerson(name=name, slack_id="" if member == "none" else member)


def _write(path: Path, answers: Answers, *, force: bool) -> None:
    """Whole or not at all, for its owner alone, and only if it is right."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_text(answers))
            file.flush()
            os.fsync(file.fileno())
        try:
            _check(draft)
        except ConfigError as error:
            lines = "\n".join(line.partition(": ")[2] for line in error.message.splitlines())
            raise ConfigError(f"nothing was written, for an answer is wrong:\n{lines}") from error
        if force and path.exists():
            path.replace(path.with_name(f"{path.name}.old"))
        os.link(draft, path)  # fails where somebody else was faster
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def _check(file: Path) -> None:
    from alerting.channels.preflight import channel_mistakes

    if wrong := list(channel_mistakes(read(file))):
        raise ConfigError("\n".join(wrong))


def _text(answers: Answers) -> str:
    try:
        return text(answers, datetime.now(UTC))
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"nothing was written: {answers.timezone!r} is no time zone that this machine knows; "
            "write an IANA name such as Europe/Berlin"
        ) from error


def _tell(path: Path, answers: Answers) -> None:
    print(f"Wrote {path}, which only you can read.\n")
    print("Exporters need these settings (gRPC: port", f"{answers.ports.otlp_grpc}, protocol grpc):\n")
    print(*(f"  {line}" for line in exporter_settings(answers)), sep="\n")
    _show("An OpenTelemetry Collector sends the same with this in its configuration:", collector_settings(answers))
    _show("Alertmanager sends alerts with this receiver:", alertmanager_settings(answers))
    if answers.token:
        print("\nThe token in these lines is shown this once.")
    print(
        f"\nNext:\n\n  watchkeeper up --config {path}\n  watchkeeper test-page {answers.people[0].id} --config {path}"
    )


def _show(title: str, lines: Sequence[str]) -> None:
    print(f"\n{title}\n", *(f"  {line}" for line in lines), sep="\n")
