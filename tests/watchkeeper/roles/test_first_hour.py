"""The transcripts in docs, run as they stand: default ports, real roles, real commands, an empty folder."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]
FIRST_HOUR, ON_CALL = ROOT / "docs" / "first-hour.md", ROOT / "docs" / "on-call.md"
PORTS = (4317, 4318, 8050, 8065, 8123)
LOOPBACK_UP = (
    "import fcntl, socket, struct; "
    "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 1))"  # SIOCSIFFLAGS, IFF_UP
)


@dataclass(frozen=True)
class Step:
    """One command of the transcript, and what it says there."""

    command: str
    says: tuple[str, ...]
    stays: bool  # it runs until Ctrl-C, in a terminal of its own


def steps(page: Path) -> Iterator[Step]:
    """Every command of a page's console blocks."""
    for kind, block in re.findall(r"^```console( up)?\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *rest = part.splitlines()
            more = [line for line in rest if line == ">" or line.startswith("> ")]
            command = "\n".join([first, *(line[2:] for line in more)])
            says = tuple(line for line in rest if line not in more)
            yield Step(command=command, says=says, stays=bool(kind))


def script(page: Path) -> str:
    """A page's transcript for bash. Each command's words stand between two marks."""
    lines = [
        "set -u",
        "up=",
        'stop() { if [ -n "$up" ]; then kill -INT $up; wait $up; up=; fi; }',
        "trap stop EXIT",
        f"{shlex.quote(sys.executable)} -c {shlex.quote(LOOPBACK_UP)} 2>/dev/null",
    ]
    for number, step in enumerate(steps(page)):
        lines.append(f"echo '### {number}'")
        if not step.stays:
            lines.append(f'{step.command}\nprintf "\\n### status %d\\n" $?')  # what curl prints may not end its line
            continue
        lines += [
            "stop",
            f"{step.command} > up.{number}.log 2>&1 &",
            "up=$!",
            f"until grep -q 'Ctrl-C stops' up.{number}.log; do kill -0 $up || break; sleep 0.2; done",
            f"cat up.{number}.log",
            'kill -0 $up; echo "### status $?"',
        ]
    return "\n".join(lines)


def alone() -> list[str]:
    """How to run something where the default ports are free: a network of its own, else this machine's, if they are."""
    for words in (["unshare", "--net"], ["unshare", "--net", "--map-root-user"]):
        with contextlib.suppress(OSError):
            if subprocess.run([*words, "true"], capture_output=True).returncode == 0:
                return words
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} is taken, and this user may not make a network of its own")
    return []


def matches(line: str, said: str) -> bool:
    """Whether a line of the page is what was said, `…` aside."""
    return re.fullmatch(".*".join(map(re.escape, line.split("…"))), said) is not None


def session(commands: str, folder: Path) -> str:
    """What a shell says to commands, in a folder and on a network where the default ports are free."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WATCHKEEPER_", "OTEL_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    shell = subprocess.Popen(
        [*alone(), "bash", "-c", commands],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = shell.communicate(timeout=540)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)  # the roles end with their supervisor
    return said


@pytest.mark.parametrize("page", [FIRST_HOUR, ON_CALL], ids=lambda page: page.stem)
def test_the_transcript_is_true(page: Path, tmp_path: Path) -> None:
    """Install aside: start, first trace, init, first page; every command succeeds and says what the page says."""
    said = session(script(page), tmp_path)
    parts = re.split(r"^### \d+\n", said, flags=re.MULTILINE)[1:]
    wanted = list(steps(page))
    assert len(parts) == len(wanted), said
    for step, part in zip(wanted, parts, strict=True):
        lines = part.splitlines()
        assert "### status 0" in lines, f"{step.command}\n{part}"
        for line in step.says:
            assert any(matches(line, one) for one in lines), f"{step.command}: not said: {line}\n{part}"


def test_the_readmes_commands_work(tmp_path: Path) -> None:
    """README's "Run it", word for word: Enter at each question, then doctor. `up` after them is the transcript's."""
    section = (ROOT / "README.md").read_text().split("## Run it")[1].split("\n## ")[0]
    install, *commands = [line.strip() for line in section.splitlines() if line.startswith("    ")]
    assert install == "make install"
    *commands, last = commands
    assert len(commands) == 2
    assert last.removeprefix(".venv/bin/") in [step.command for step in steps(FIRST_HOUR) if step.stays]
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    lines = [f"{shlex.quote(sys.executable)} -c {shlex.quote(LOOPBACK_UP)} 2>/dev/null"]
    lines += [f"yes '' | {command}; echo \"### status ${{PIPESTATUS[1]}}\"" for command in commands]
    said = session("\n".join(lines), tmp_path)
    assert re.findall("### status (\\d+)", said) == ["0", "0"], said


def test_the_page_holds_what_was_promised() -> None:
    """The transcript is not empty: it starts twice, sees a trace, makes a file and pages somebody."""
    commands = [step.command for step in steps(FIRST_HOUR)]
    for begins in ("watchkeeper up", "watchkeeper traces", "watchkeeper init", "watchkeeper test-page", "export OTEL_"):
        assert any(command.startswith(begins) for command in commands), begins
    assert sum(step.stays for step in steps(FIRST_HOUR)) == 2


def test_a_new_teams_page_is_acknowledged() -> None:
    """Nor is that of on call: it pages each person, takes an alert, and acknowledges what it paged."""
    commands = " ".join(step.command for step in steps(ON_CALL))
    for word in ("test-page ana-souza", "test-page ben-okafor", "/alerts/alertmanager", "incident ack", "audit verify"):
        assert word in commands, word
