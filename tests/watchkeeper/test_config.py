"""The configuration file: one frozen tree, and errors that name file, line and key."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from watchkeeper.config import Config, IngestConfig, StoreConfig, TokenConfig, WebConfig, is_loopback, load
from watchkeeper.errors import ConfigError


def write(path: Path, text: str) -> Path:
    file = path / "watchkeeper.yaml"
    file.write_text(text)
    return file


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    """Nothing has to be written down to start."""
    assert load(write(tmp_path, "# nothing yet\n")).ingest.otlp_http_port == 4318


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("web:\n  port: eight\n", 2, "web.port"),
        ("web:\n  host: 127.0.0.1\n  prot: 1\n", 3, "web.prot"),
        ("ingest:\n  scrape:\n    - job: a\n      targets: [x]\n    - job: b\n", 5, "ingest.scrape.1.targets"),
        ("oncall:\n  escalation:\n    - {after_s: 0, notify: bob}\n", 3, "oncall.escalation.0.notify"),
    ],
)
def test_a_mistake_names_file_line_and_key(tmp_path: Path, text: str, line: int, key: str) -> None:
    """A typing error is found without reading the whole file again."""
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert f"{file}:{line}: {key}" in str(caught.value)


@pytest.mark.parametrize(
    "text", [None, "# nothing\n", "data_dir: watchkeeper-data\n", "data_dir: ./watchkeeper-data\n"]
)
def test_a_default_is_what_the_same_value_written_down_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """Without a file, without the key and with the key: the folder is absolute, and the same."""
    monkeypatch.chdir(tmp_path)
    config = load(write(tmp_path, text) if text is not None else None)
    assert config.data_dir == tmp_path / "watchkeeper-data"
    assert config.state_url == f"sqlite:///{tmp_path}/watchkeeper-data/state.db"


def test_every_default_survives_being_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults, dumped to a file and read again, are the defaults: none of them skips a check."""
    monkeypatch.chdir(tmp_path)
    defaults = load(None)
    written = yaml.safe_dump(defaults.model_dump(mode="json", exclude_none=True))
    assert load(write(tmp_path, written)) == defaults


def test_paths_are_relative_to_the_file_from_wherever_a_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roles, and commands in another folder, open the same data, objectives, runbooks and state."""
    home = tmp_path / "etc"
    home.mkdir()
    file = write(home, "data_dir: data\nslo: [a.yaml]\nrunbooks: {dir: books}\nstate: {url: 'sqlite:///state.db'}\n")
    found = []
    for folder, path in ((home, Path("watchkeeper.yaml")), (tmp_path, Path("etc/watchkeeper.yaml")), (tmp_path, file)):
        monkeypatch.chdir(folder)
        config = load(path)
        found.append((config.data_dir, config.slo, config.runbooks.dir, config.state_url))
    assert set(found) == {(home / "data", (home / "a.yaml",), home / "books", f"sqlite:///{home}/state.db")}
    monkeypatch.chdir(tmp_path)
    assert load(write(home, "{}")).data_dir == home / "watchkeeper-data"


def test_a_section_without_keys_has_its_defaults(tmp_path: Path) -> None:
    """`web:` alone is what is left when every key below it is commented out."""
    assert load(write(tmp_path, "web:\nslack:\n  stand_in:\n")).web.port == 8050


def test_addresses_of_ipv6_hosts_are_addresses() -> None:
    """An IPv6 host stands in brackets wherever it becomes part of a URL."""
    config = Config(store=StoreConfig(host="::1"), web=WebConfig(host="::1"))
    assert (config.store_url, config.web_url) == ("http://[::1]:8123", "http://[::1]:8050")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("alike", "similar"),
        ("alike_grave", "similar_severe"),
        ("grave_error_share", "severe_error_share"),
        ("grave_extra_ms", "severe_extra_ms"),
    ],
)
def test_a_renamed_key_is_an_error_that_names_the_new_one(tmp_path: Path, old: str, new: str) -> None:
    """Whoever upgrades reads which line to change, and to what."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, f"learning:\n  guard:\n    {old}: 1\n"))
    key = f"learning.guard.{old}"
    assert str(caught.value).endswith(f"watchkeeper.yaml:3: {key}: was renamed; write `{new}` instead")


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """Nobody has to start three times to find three mistakes."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "web: {port: x}\nstore: {port: -1}\nfoo: 1\n"))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "just words"])
def test_a_file_that_is_no_mapping_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    """A file that is not YAML, or not keys and values, says so."""
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=r"watchkeeper\.yaml:"):
        load(file)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml")


def test_the_tree_is_frozen() -> None:
    """Nothing changes under a role's feet."""
    with pytest.raises(ValueError, match="frozen"):
        Config().web.port = 1  # type: ignore[misc]


def test_generated_secrets_are_private_and_stay_the_same(tmp_path: Path) -> None:
    """A secret is made once and only its owner may read it, even when roles start together."""
    config = Config(data_dir=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: config.secret("store"), range(32)))
    path = tmp_path / "secrets" / "store"
    assert made == {path.read_text().strip()}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["store"]  # noqa: PTH208 - hidden drafts count too


def test_binding_beyond_loopback_without_a_token_is_refused(tmp_path: Path) -> None:
    """The message says how to go on."""
    open_web = Config(data_dir=tmp_path, web=WebConfig(host="0.0.0.0"))
    with pytest.raises(ConfigError, match="watchkeeper token new --scope commands"):
        open_web.require_safe_binding("web")
    with pytest.raises(ConfigError, match="--scope ingest"):
        Config(data_dir=tmp_path, ingest=IngestConfig(host="::")).require_safe_binding("ingest")
    token = TokenConfig(name="sre", sha256="0" * 64, scopes=("commands",))
    open_web.model_copy(update={"tokens": (token,)}).require_safe_binding("web")


def test_a_token_allows_its_own_scopes_only(tmp_path: Path) -> None:
    """A token for change events can't acknowledge incidents."""
    token = TokenConfig(name="ci", sha256=sha256(b"wk_ci").hexdigest(), scopes=("changes",))
    config = Config(data_dir=tmp_path, tokens=(token,))
    assert config.token_allows("wk_ci", "changes")
    assert not config.token_allows("wk_ci", "commands")
    assert not config.token_allows("", "changes")
    assert config.token_allows(config.secret("commands"), "commands")


def test_loopback_is_recognised_in_all_its_spellings() -> None:
    """Names and both families."""
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org")))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:x@/watch?host=/run/postgresql",
        "postgresql+psycopg:///watch?host=/run/postgresql",
        "postgresql://ana@/watch?host=db-1,db-2&target_session_attrs=read-write",
        "postgresql://ana@[::1]:5433/watch",
    ],
)
def test_each_way_to_name_a_postgresql_is_taken(tmp_path: Path, url: str) -> None:
    """A host, a socket's folder, or several hosts of which one takes writes."""
    file = tmp_path / "watchkeeper.yaml"
    file.write_text(f"state:\n  url: '{url}'\n")
    assert load(file).state_url == url
