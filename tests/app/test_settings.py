from pathlib import Path

import pytest

from klassd.workflows.errors import ConfigurationError
from klassd.workflows.options import Needs
from klassd.workflows.settings import load


def test_the_environment_is_stronger_than_the_file_and_the_file_than_the_code(tmp_path: Path) -> None:
    (tmp_path / "klassd.toml").write_text('store = "sqlite:///file.db"\nconcurrency = 3\n')
    settings = load({"store": "memory:", "concurrency": 2, "executor": "local"}, {"KLASSD_CONCURRENCY": "7"}, str(tmp_path))
    assert (settings.store, settings.concurrency, settings.executor) == ("sqlite:///file.db", 7, "local")


def test_the_embedded_store_and_the_artifacts_lie_in_the_state_directory(tmp_path: Path) -> None:
    settings = load({"state": str(tmp_path / "state")}, {}, str(tmp_path))
    assert settings.store_url == f"sqlite:///{tmp_path}/state/klassd.db"
    assert settings.artifacts_url == f"file://{tmp_path}/state/artifacts"


@pytest.mark.parametrize(
    ("file", "env", "expected"),
    [
        ("stor = 1", {}, "'stor'"),
        ("store = [", {}, "not valid TOML"),
        ('concurrency = "many"', {}, "concurrency"),
        ("", {"KLASSD_CONCURRENCY": "many"}, "KLASSD_CONCURRENCY"),
        ("", {"KLASSD_CONCURRENCY": "0"}, "at least 1"),
        ("", {"KLASSD_LEASE": "soon"}, "KLASSD_LEASE"),
        ("", {"KLASSD_LEASE": "10ms"}, "at least 1 s"),
        ("", {"KLASSD_RETENTION": "long"}, "retention is 'long' in KLASSD_RETENTION: .*units: ms s m h d"),
        ('retention = "5m"', {}, "retention is 300 s: expected at least '1h', or 'forever'"),
        ("retention = true", {}, "retention is True in .*klassd.toml"),
        ("", {"KLASSD_KEEP_ARTIFACTS": "perhaps"}, "keep_artifacts is 'perhaps' in KLASSD_KEEP_ARTIFACTS: expected true or"),
        ("", {"KLASSD_START": "teleport"}, "'fork'"),
        ("", {"KLASSD_LISTEN": "8700"}, "listen is '8700': expected HOST:PORT"),
        ('listen = "::1:8700"', {}, "listen is '::1:8700'"),
        ('listen = "localhost:70000"', {}, "listen is 'localhost:70000'"),
        ('[resources."shop:Report"]\ncpu = "lots"', {}, "resources of 'shop:Report' cannot be used: Resources: cpu is 'lots'"),
        ('[resources."shop:Report"]\nmemory = 5', {}, "resources of 'shop:Report' .*Expected `str"),
        ('[resources."shop:Report"]\nram = "1Gi"', {}, "resources of 'shop:Report' .*unknown field `ram`"),
        ('resources = "unconstrained"', {}, "Expected `object`"),
        ('kubernetes = "here"', {}, "Expected `object`"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_place(
    tmp_path: Path, file: str, env: dict[str, str], expected: str
) -> None:
    (tmp_path / "klassd.toml").write_text(file)
    with pytest.raises(ConfigurationError, match=expected):
        load({}, env, str(tmp_path))


@pytest.mark.parametrize(
    ("listen", "address"),
    [("0.0.0.0:80", ("0.0.0.0", 80)), ("[::1]:8700", ("::1", 8700)), ("klassd.local:0", ("klassd.local", 0))],
)
def test_where_to_listen_is_a_host_and_a_port(listen: str, address: tuple[str, int]) -> None:
    assert load({}, {"KLASSD_LISTEN": listen}, "/").address == address


@pytest.mark.parametrize(
    ("code", "file", "env", "retention", "keeps"),
    [
        ({}, "", {}, 90 * 86_400.0, False),
        ({"retention": "30d"}, "", {}, 30 * 86_400.0, False),
        ({"retention": "30d"}, 'retention = "forever"\nkeep_artifacts = true', {}, None, True),
        ({}, 'retention = "forever"', {"KLASSD_RETENTION": "12h", "KLASSD_KEEP_ARTIFACTS": "True"}, 43_200.0, True),
    ],
)
def test_how_long_runs_are_kept_is_a_duration_or_for_ever(
    tmp_path: Path, code: dict[str, str], file: str, env: dict[str, str], retention: float | None, keeps: bool
) -> None:
    (tmp_path / "klassd.toml").write_text(file)
    settings = load(code, env, str(tmp_path))
    assert (settings.retention, settings.keep_artifacts) == (retention, keeps)


def test_resources_are_configured_by_job(tmp_path: Path) -> None:
    (tmp_path / "klassd.toml").write_text(
        '[resources]\n"shop:Small" = "unconstrained"\n[resources."shop:Report"]\ncpu = "250m/1"\nextended = {"x.org/gpu" = 1}\n'
    )
    assert load({}, {}, str(tmp_path)).needs == {
        "shop:Small": Needs(unconstrained=True),
        "shop:Report": Needs(cpu="250m/1", extended={"x.org/gpu": "1"}),
    }
