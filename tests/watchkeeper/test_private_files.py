"""Secrets and folders: never empty, never others', and whatever is wrong with them is said in one sentence."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from watchkeeper.config import Config
from watchkeeper.errors import ConfigError
from watchkeeper.private_files import private_folder, secret


@pytest.mark.parametrize(
    "content", [b"", b"  \n\t\n", b"short", b"\0" * 43, b"\xff\xfe" * 30, b"two words that are long"]
)
def test_a_damaged_secret_is_kept_aside_and_made_anew(tmp_path: Path, content: bytes) -> None:
    """An empty file makes no empty token good enough, whichever secret it is."""
    config = Config(data_dir=tmp_path)
    for name in ("commands", "store", "session", "calendar", "slack-signing"):
        path = tmp_path / "secrets" / name
        private_folder(path.parent)
        path.write_bytes(content)
        with ThreadPoolExecutor(4) as pool:
            made = set(pool.map(config.secret, [name] * 8))
        assert len(made) == 1
        assert len(made.pop()) >= 40
        (aside,) = path.parent.glob(f"{name}.damaged-*")
        assert aside.read_bytes() == content
    assert not config.token_allows("", "ingest")
    assert not config.token_allows(content.decode("latin-1"), "commands")
    assert not config.token_allows("\ud800", "commands")
    assert not config.calendar_allows("")
    assert config.token_allows(config.secret("commands"), "ingest")


def test_a_secret_that_somebody_chose_stays(tmp_path: Path) -> None:
    """One line of text that cannot be guessed is a secret, with or without its line break."""
    folder = private_folder(tmp_path / "secrets")
    (folder / "store").write_text("correct-horse-battery-staple\n")
    assert secret(folder, "store") == "correct-horse-battery-staple"


def test_what_others_can_read_is_closed_to_them(tmp_path: Path) -> None:
    """Modes are corrected: of the folder and of the secret."""
    folder = tmp_path / "secrets"
    first = secret(folder, "store")
    folder.chmod(0o755)
    (folder / "store").chmod(0o644)
    assert secret(folder, "store") == first
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "store").stat().st_mode) == 0o600


def test_a_path_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    """A file where a folder should be, and the other way round; the message names it and says what to do."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "secrets" / "store").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"secrets/store cannot be used .*: it is a folder"):
        secret(tmp_path / "secrets", "store")
    with pytest.raises(ConfigError, match=r"file cannot be used .*: a file, or a link that leads nowhere"):
        private_folder(tmp_path / "file")
    with pytest.raises(ConfigError, match=r"file/secrets cannot be used .*set data_dir"):
        private_folder(tmp_path / "file" / "secrets")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_one_sentence(tmp_path: Path) -> None:
    """Nobody has to read a traceback to learn of a missing right."""
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigError, match="give this user the right"):
        private_folder(tmp_path / "data")
