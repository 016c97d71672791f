"""Errors of the configuration: our words, the variable, an example, and the name that was meant. Never a secret."""

from __future__ import annotations

import re

import pytest

from app.core.errors import ConfigurationError
from app.service import config, config_errors

KNOWN = {name.upper() for name in config.Settings.model_fields}
FOREIGN_WORDS = re.compile(
    r"input should|unable to|relative URL|string should|greater than|less than|valid (?:number|integer)|Value error|\[Errno|pydantic",
    re.IGNORECASE,
)
BAD = {
    "BACKEND_URL": "freshet.example",
    "DATABASE_URL": "mysql://user:hunter2secret@db/x",
    "DBT_CPUS": "inf",
    "DBT_DEPS_NETWORK": "",
    "DBT_DOCKER_IMAGE": " ",
    "DBT_MEMORY": "lots",
    "DBT_PACKAGE_HUB_URL": "https://user:hunter2secret@hub",
    "DBT_PIDS": "1.5",
    "DBT_TIMEOUT": "1e300",
    "DBT_WORK_DIR": "",
    "EXTRACTION_CONCURRENCY": "many",
    "FRESHET_API_RATE_LIMIT": "-1",
    "FRESHET_API_TOKENS": "hunter2",
    "FRESHET_CONTAINER_RUNTIME": "run sc",
    "FRESHET_DATA_DIR": "",
    "FRESHET_FRESHNESS_OBJECTIVE": "nan",
    "FRESHET_GRACE_DAYS": "1e9",
    "FRESHET_HISTORY_DAYS": "never",
    "FRESHET_ISOLATION": "Strict",
    "FRESHET_LOG_FORMAT": "yaml",
    "FRESHET_MAIL_DOMAINS": ".corp",
    "FRESHET_NOTIFY_HOSTS": "http://chat.corp",
    "FRESHET_PACKAGE_HOSTS": "a b",
    "FRESHET_PRIVATE_PACKAGES": "everything/of/all",
    "FRESHET_RUNNING_PER_INSTALLATION": "0",
    "FRESHET_SECCOMP": "unconfined",
    "FRESHET_STALE_MINUTES": "0",
    "FRESHET_VERIFY_SHARE": "all",
    "FRESHET_WARM_CONTAINERS": "some",
    "GITHUB_API_URL": "ftp//x",
    "GITHUB_APP_ID": "my-app",
    "GITHUB_CLIENT_ID": "",
    "GITHUB_PRIVATE_KEY": "",
    "GITHUB_PRIVATE_KEY_PATH": "",
    "GITHUB_SERVER_URL": "https://github.corp?x=1",
    "GITHUB_WEBHOOK_SECRET": "",
    "HOST": "http://0.0.0.0",
    "PORT": "eighty",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_every_variable_has_an_example() -> None:
    assert set(config_errors.EXPECTED) == KNOWN


@pytest.mark.parametrize("name", BAD)
def test_an_unusable_value_is_described_in_our_words_with_an_example(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(name, BAD[name])
    with pytest.raises(ConfigurationError) as caught:
        config.read()
    text = caught.value.user_text
    assert f"{name}: " in text
    assert f"Example: {name}=" in text
    assert not FOREIGN_WORDS.search(text.replace(config_errors.EXPECTED[name][1], "")), text
    assert "hunter2" not in text
    assert caught.value.__cause__ is None


def test_several_unusable_values_are_listed_line_by_line(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "x")
    environment.setenv("HOST", "")
    environment.setenv("FRESHET_PORT", "3001")
    with pytest.raises(ConfigurationError) as caught:
        config.read()
    assert [line.strip().partition(":")[0] for line in caught.value.reason.splitlines()[1:]] == ["FRESHET_PORT", "HOST", "PORT"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("FRESHET_API_TOKEN", "FRESHET_API_TOKENS"),
        ("freshet_api_token", "FRESHET_API_TOKENS"),
        ("FRESHET_TOKENS", "FRESHET_API_TOKENS"),
        ("FRESHET_DATABASE_URL", "DATABASE_URL"),
        ("FRESHET_PORT", "PORT"),
        ("FRESHET_DIR_DATA", "FRESHET_DATA_DIR"),
        ("EXTRACTION_CONCURENCY", "EXTRACTION_CONCURRENCY"),
        ("GITHUB_APPID", "GITHUB_APP_ID"),
        ("GITHUB_WEBHOOK_SECERT", "GITHUB_WEBHOOK_SECRET"),
        ("GITHUB_PRIVATE_KEYPATH", "GITHUB_PRIVATE_KEY_PATH"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("DBT_MEMORYS", "DBT_MEMORY"),
        ("BACKENDURL", None),
        ("FRESHET_COLOR_OF_THE_SKY", None),
    ],
)
def test_a_name_like_ours_is_unknown_and_says_which_was_meant(name: str, meant: str | None) -> None:
    found = config_errors.unknown([name], KNOWN)
    if meant is None:
        assert "Write " not in "".join(found)
    else:
        assert len(found) == 1
        assert found[0].startswith(f"{name}: Freshet has no such variable. Write {meant}, or unset it.")


def test_variables_of_other_programs_are_left_alone() -> None:
    others = (
        *("GITHUB_TOKEN", "GITHUB_ACTOR_ID", "GITHUB_REPOSITORY", "GITHUB_ENV", "GITHUB_RUN_ID", "GITHUB_WORKSPACE", "GITHUB_API_VERSION"),
        *("DBT_TARGET", "DBT_PROFILES_DIR", "DBT_USER", "DBT_PASSWORD", "DBT_ENV_SECRET_X", "DBT_CLOUD_PID", "DBT_HOST"),
        *("DOCKER_CONFIG", "DOCKER_BUILDKIT", "DOCKER_CONTEXT", "DATABASE_NAME", "HOSTNAME", "PATH", "HOSTS", "PORTS"),
    )
    assert config_errors.unknown(others, KNOWN) == []
    assert config_errors.unknown(["DATABASE_URI", "DATABASE_URL"], KNOWN) == [], "nobody misses what is set"


@pytest.mark.parametrize(
    "token", ["a", "secret", "changeme", "aaaaaaaaaaaaaaaaaaaaaaaa", "with a space in it", "gr\u00fc\u00dfe-aus-berlin"]
)
def test_a_token_that_can_be_guessed_or_sent_by_nobody_is_refused(environment: pytest.MonkeyPatch, token: str) -> None:
    environment.setenv("FRESHET_API_TOKENS", f"0123456789abcdef,{token}")
    with pytest.raises(ConfigurationError, match="FRESHET_API_TOKENS: token 2 ") as caught:
        config.read()
    assert token not in caught.value.user_text.replace("secret,", "").replace("a token", "") or len(token) == 1
    assert "openssl rand -hex 32" in caught.value.user_text


def test_an_empty_variable_of_docker_counts_as_unset(environment: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "FRESHET_API_TOKENS", "DBT_DOCKER_IMAGES"):
        environment.setenv(name, "")
    settings = config.read()
    assert (settings.docker_host, settings.docker_cert_path, settings.freshet_api_tokens, settings.dbt_docker_images) == (
        None,
        None,
        [],
        [],
    )


def test_an_unreadable_file_is_named_in_our_words(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FRESHET_SECCOMP", "/nowhere/seccomp.json")
    with pytest.raises(ConfigurationError, match=r"FRESHET_SECCOMP: /nowhere/seccomp\.json cannot be read \(No such file or directory\)"):
        _ = config.read().seccomp_profile
