"""A setting with a new name works by the old one for one release, with a warning."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.core.errors import ConfigurationError
from app.service import config
from app.service.deprecations import RENAMED, RenamedSetting
from tests.service import OWN_VARIABLES

TABLE = [RenamedSetting("FRESHET_LOGGING", "FRESHET_LOG_FORMAT", "0.3.0"), RenamedSetting("FRESHET_OWNERS", "FRESHET_OPERATORS", "0.3.0")]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith(OWN_VARIABLES)]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_an_old_name_works_and_the_log_says_what_to_write(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FRESHET_LOGGING", "text")
    environment.setenv("FRESHET_OWNERS", "octocat,hubot")
    with capture_logs() as logged:
        settings = config.read(TABLE)
    assert (settings.freshet_log_format, len(settings.freshet_operators)) == ("text", 2)
    assert [entry["log_level"] for entry in logged] == ["warning"] * 2
    assert logged[0]["setting"] == "FRESHET_LOGGING is FRESHET_LOG_FORMAT now: rename it. The old name stops working in 0.3.0."


def test_both_names_at_once_are_an_error(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FRESHET_LOGGING", "text")
    environment.setenv("FRESHET_LOG_FORMAT", "json")
    with pytest.raises(ConfigurationError, match=r"FRESHET_LOGGING: FRESHET_LOG_FORMAT is its new name, and set too"):
        config.read(TABLE)


def test_a_wrong_value_of_an_old_name_is_described(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FRESHET_LOGGING", "xml")
    with pytest.raises(ConfigurationError, match=r"FRESHET_LOG_FORMAT: `xml` is not auto, json or text"):
        config.read(TABLE)


def test_an_old_name_is_unknown_after_its_release(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FRESHET_LOGGING", "text")
    with pytest.raises(ConfigurationError, match="FRESHET_LOGGING: Freshet has no such variable"):
        config.read()


def test_no_old_name_outlives_its_release() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert [setting for setting in RENAMED if _numbers(setting.gone_in) <= _numbers(project["version"])] == []
    assert {setting.new for setting in RENAMED} <= {name.upper() for name in config.Settings.model_fields}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
