from __future__ import annotations

from datetime import timedelta

import pytest

from app.core.errors import ConfigurationError
from app.notifications.rules import SubscriptionRules
from app.service import config

APP = {"GITHUB_APP_ID": "12", "GITHUB_PRIVATE_KEY": "-----BEGIN", "GITHUB_WEBHOOK_SECRET": "s"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in config.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(("places", "limit", "found"), [("1", None, 1), ("2", None, 1), ("8", None, 7), ("8", "8", 8), ("4", "2", 2)])
def test_one_place_is_left_to_other_installations(environment: pytest.MonkeyPatch, places: str, limit: str | None, found: int) -> None:
    environment.setenv("EXTRACTION_CONCURRENCY", places)
    if limit:
        environment.setenv("FRESHET_RUNNING_PER_INSTALLATION", limit)
    assert config.read().running_per_installation == found


def test_defaults() -> None:
    settings = config.read()
    assert (settings.host, settings.port, settings.public_url) == ("127.0.0.1", 3001, "http://127.0.0.1:3001")
    assert (settings.dbt_cpus, settings.dbt_memory, settings.dbt_timeout, settings.dbt_pids) == (2, 2 << 30, 600, 256)
    assert (settings.dbt_docker_image, settings.dbt_deps_network) == ("dbt-runner:latest", None)
    assert settings.work_dir == settings.freshet_data_dir / "work"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("DBT_MEMORY", "lots"),
        ("DBT_MEMORY", "1m"),
        ("DBT_CPUS", "0"),
        ("DBT_TIMEOUT", "-1"),
        ("EXTRACTION_CONCURRENCY", "0"),
        ("FRESHET_RUNNING_PER_INSTALLATION", "0"),
        ("FRESHET_VERIFY_SHARE", "1.5"),
        ("FRESHET_VERIFY_SHARE", "-0.1"),
        ("FRESHET_VERIFY_SHARE", "nan"),
        ("FRESHET_VERIFY_SHARE", "5 %"),
        ("FRESHET_WARM_CONTAINERS", "-1"),
        ("FRESHET_WARM_CONTAINERS", "some"),
        ("BACKEND_URL", "freshet.example"),
        ("BACKEND_URL", "https://freshet.example/{id}"),
        ("BACKEND_URL", "https://freshet.example/a%2fb"),
        ("FRESHET_SESSION_HOURS", "0"),
        ("FRESHET_SESSION_HOURS", "9601"),
        ("GITHUB_API_URL", "ftp//x"),
        ("GITHUB_APP_ID", "my-app"),
        ("DATABASE_URL", ""),
        ("GITHUB_CLIENT_ID", "Iv1"),
        ("GITHUB_CLIENT_SECRET", "s"),
        ("FRESHET_API_RATE_LIMIT", "-1"),
        ("FRESHET_API_RATE_LIMIT", "often"),
        ("FRESHET_HISTORY_DAYS", "0"),
        ("FRESHET_API_TOKEN", "a typing mistake"),
        ("FRESHET_SMTP_URL", "mail.example.com"),
        ("FRESHET_SMTP_URL", "smtp://mail.example.com"),
        ("FRESHET_MAIL_FROM", "freshet"),
        ("FRESHET_MAIL_FROM", "freshet@example.com"),
        ("FRESHET_MAIL_DOMAINS", "example.com,.corp"),
        ("FRESHET_NOTIFY_HOSTS", "http://chat.corp"),
        ("FRESHET_STALE_MINUTES", "0"),
        ("EXTRACTION_CONCURENCY", "4"),
    ],
)
def test_an_unknown_or_invalid_variable_is_named(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        config.read()


def test_history_is_kept_for_90_days_a_number_of_days_or_forever(environment: pytest.MonkeyPatch) -> None:
    periods = [config.read().history_retention]
    for value in ("0.5", "forever"):
        environment.setenv("FRESHET_HISTORY_DAYS", value)
        periods.append(config.read().history_retention)
    assert periods == [timedelta(days=90), timedelta(hours=12), None]


def test_the_number_of_warm_containers_follows_memory_unless_it_is_set(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("EXTRACTION_CONCURRENCY", "3")
    assert config.read().freshet_warm_containers is None
    environment.setenv("FRESHET_WARM_CONTAINERS", "0")
    assert config.read().freshet_warm_containers == 0


def test_an_empty_webhook_secret_is_an_error(environment: pytest.MonkeyPatch) -> None:
    for name, value in (APP | {"GITHUB_WEBHOOK_SECRET": " "}).items():
        environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match="GITHUB_WEBHOOK_SECRET: must not be empty"):
        config.read()


@pytest.mark.parametrize("missing", APP)
def test_an_incomplete_app_is_an_error_that_names_what_is_missing(environment: pytest.MonkeyPatch, missing: str) -> None:
    for name, value in APP.items():
        if name != missing:
            environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=missing):
        config.read()


def test_errors_do_not_contain_secrets(environment: pytest.MonkeyPatch) -> None:
    for name, value in (APP | {"GITHUB_PRIVATE_KEY": "hunter2", "GITHUB_PRIVATE_KEY_PATH": "/nowhere", "PORT": "x"}).items():
        environment.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        config.read()
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.__cause__)


def test_tokens_do_not_appear_in_the_repr(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FRESHET_API_TOKENS", "alpha-0123456789, beta-0123456789")
    settings = config.read()
    assert [token.get_secret_value() for token in settings.freshet_api_tokens] == ["alpha-0123456789", "beta-0123456789"]
    assert "alpha" not in repr(settings)


def test_a_private_key_on_one_line_or_in_a_file(environment: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, value in (APP | {"GITHUB_PRIVATE_KEY": "a\\nb"}).items():
        environment.setenv(name, value)
    key = config.read().private_key_pem
    assert key is not None
    assert key.get_secret_value() == "a\nb"
    environment.delenv("GITHUB_PRIVATE_KEY")
    environment.setenv("GITHUB_PRIVATE_KEY_PATH", str(tmp_path_factory.mktemp("keys") / "missing.pem"))
    with pytest.raises(ConfigurationError, match="GITHUB_PRIVATE_KEY_PATH"):
        _ = config.read().private_key_pem


def test_private_packages(environment: pytest.MonkeyPatch) -> None:
    assert config.read().private_packages.rules == ("installation",)
    environment.setenv("FRESHET_PRIVATE_PACKAGES", "installation, acme/dbt-*")
    assert config.read().private_packages.rules == ("installation", "acme/dbt-*")
    for wrong in ("", "all", "none,acme/tools", "acme", "https://github.com/acme/tools"):
        environment.setenv("FRESHET_PRIVATE_PACKAGES", wrong)
        with pytest.raises(ConfigurationError, match="FRESHET_PRIVATE_PACKAGES"):
            config.read()


def test_package_hosts_include_those_of_other_variables(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FRESHET_PACKAGE_HOSTS", "GitLab.corp, git.corp:8443")
    environment.setenv("DBT_PACKAGE_HUB_URL", "http://hub.corp:8080/api")
    assert config.read().package_hosts == {"gitlab.corp", "git.corp:8443", "hub.corp:8080", "github.com:443"}
    environment.setenv("FRESHET_PACKAGE_HOSTS", "https://gitlab.corp")
    with pytest.raises(ConfigurationError, match="FRESHET_PACKAGE_HOSTS"):
        config.read()


def test_the_senders_domain_is_the_default_mail_domain(environment: pytest.MonkeyPatch) -> None:
    assert config.read().subscription_rules == SubscriptionRules()
    environment.setenv("FRESHET_SMTP_URL", "smtps://freshet:hidden@mail.example.com")
    environment.setenv("FRESHET_MAIL_FROM", "Freshet <freshet@Example.com>")
    environment.setenv("FRESHET_NOTIFY_HOSTS", "chat.corp, 10.0.0.7:8065")
    settings = config.read()
    assert settings.subscription_rules == SubscriptionRules(
        mail=True, mail_domains=frozenset({"example.com"}), hosts=frozenset({"chat.corp", "10.0.0.7:8065"})
    )
    assert "hidden" not in repr(settings)
    environment.setenv("FRESHET_MAIL_DOMAINS", "example.com, Example.org")
    assert config.read().subscription_rules.mail_domains == {"example.com", "example.org"}
    environment.setenv("FRESHET_SMTP_URL", "smtp://freshet:hid/den@mail.example.com")
    with pytest.raises(ConfigurationError) as caught:
        config.read()
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "backend_url", "may_be_open"),
    [
        ("127.0.0.1", None, True),
        ("::1", "http://localhost:3001", True),
        ("127.0.0.1", "https://freshet.example", False),
        ("192.0.2.7", None, False),
        ("192.0.2.7", "http://127.0.0.1:3001", False),
        ("localhost", "http://127.0.0.1.evil.example", False),
    ],
)
def test_pages_are_open_only_if_nobody_else_is_meant_to_reach_the_service(host: str, backend_url: str | None, *, may_be_open: bool) -> None:
    assert config.Settings(host=host, backend_url=backend_url).pages_may_be_open == may_be_open


def test_operators_are_logins_and_teams(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("FRESHET_OPERATORS", "octocat, octo-org/data_platform ,Hub-Ot")
    assert config.read().freshet_operators == ["octocat", "octo-org/data_platform", "Hub-Ot"]
    for wrong in ("@octo-org/team", "octo-org/", "a/b/c", "octo org", "octo-org/../user", "-x"):
        environment.setenv("FRESHET_OPERATORS", wrong)
        with pytest.raises(ConfigurationError, match="FRESHET_OPERATORS"):
            config.read()
