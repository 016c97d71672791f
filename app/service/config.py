"""The only reader of the environment: every variable, its default and its valid values. `docs/configuration.md` describes them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core import log
from app.core.egress.addresses import configured
from app.core.errors import ConfigurationError
from app.notifications.channels import email
from app.notifications.rules import SubscriptionRules
from app.packages import private
from app.service import config_errors, deprecations
from app.service.config_errors import EMPTY
from app.service.deprecations import RENAMED, RenamedSetting
from app.service.values import (
    MAX_DAYS,
    CommaSeparated,
    Days,
    Domains,
    Hosts,
    ListeningHost,
    OperatorNames,
    PostgresUrl,
    PublicUrl,
    Seconds,
    Sender,
    Size,
    Tokens,
    Url,
    is_loopback,
)

logger = log.get(__name__)

MAX_MINUTES = 60 * 24 * 30
MAX_SESSION_HOURS = 24 * 400
"""Browsers keep no cookie for longer than 400 days."""
MAY_BE_EMPTY = {
    "docker_host",
    "docker_cert_path",
    "docker_tls_verify",
    "kubeconfig",
    "otel_exporter_otlp_endpoint",
    "freshet_container_runtime",
}
"""The variables of Docker, Kubernetes and OpenTelemetry count as unset if they are empty, and so does this one of ours."""


class Settings(BaseSettings):
    """One field per environment variable, in lower case."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: PostgresUrl | None = None
    freshet_data_dir: Path = Path(".freshet")
    freshet_grace_days: Annotated[float, Field(ge=0, le=MAX_DAYS)] = 7.0
    freshet_history_days: Days = 90.0
    freshet_freshness_objective: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    host: ListeningHost = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 3001
    backend_url: PublicUrl | None = None
    github_app_id: Annotated[int, Field(gt=0, lt=1 << 63)] | None = None
    github_private_key: SecretStr | None = None
    github_private_key_path: Path | None = None
    github_webhook_secret: SecretStr | None = None
    github_client_id: str | None = None
    github_client_secret: SecretStr | None = None
    github_api_url: Url = "https://api.github.com"
    github_server_url: Url = "https://github.com"
    freshet_session_hours: Annotated[float, Field(gt=0, le=MAX_SESSION_HOURS)] = 168.0
    freshet_operators: OperatorNames = []
    freshet_api_tokens: Tokens = []
    freshet_api_tokens_file: Path | None = None
    freshet_mcp_url: PublicUrl | None = None
    freshet_mcp_token: SecretStr | None = None
    freshet_api_rate_limit: Annotated[int, Field(ge=0, le=1_000_000)] = 600
    docker_host: str | None = None
    docker_cert_path: Path | None = None
    docker_tls_verify: str | None = None
    freshet_runner: Literal["docker", "kubernetes"] = "docker"
    freshet_kubernetes_namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")] | None = None
    freshet_kubernetes_image: CommaSeparated = []
    kubeconfig: str | None = None
    dbt_docker_image: Annotated[str, Field(min_length=1)] = "dbt-runner:latest"
    dbt_docker_images: CommaSeparated = []
    dbt_work_dir: Path | None = None
    dbt_cpus: Annotated[float, Field(gt=0, le=4096)] = 2.0
    dbt_memory: Size = 2 << 30
    dbt_timeout: Seconds = 600.0
    dbt_pids: Annotated[int, Field(ge=16, le=1 << 22)] = 256
    dbt_deps_network: Annotated[str, Field(min_length=1)] | None = None
    dbt_package_hub_url: Url | None = None
    freshet_package_hosts: Hosts = []
    freshet_private_packages: Annotated[CommaSeparated, AfterValidator(private.check)] = [private.INSTALLATION]
    otel_exporter_otlp_endpoint: Url | None = None
    freshet_log_format: Literal["auto", "json", "text"] = "auto"
    freshet_isolation: Literal["strict", "available"] = "strict"
    freshet_container_runtime: Annotated[
        Annotated[str, Field(pattern=r"^\w[\w.-]*$")] | None, BeforeValidator(lambda name: name or None)
    ] = None
    freshet_seccomp: Path | None = None
    freshet_warm_containers: Annotated[int, Field(ge=0, le=256)] | None = None
    freshet_smtp_url: SecretStr | None = None
    freshet_mail_from: Sender | None = None
    freshet_mail_domains: Domains = []
    freshet_notify_hosts: Hosts = []
    freshet_stale_minutes: Annotated[float, Field(gt=0, le=MAX_MINUTES)] = 60.0
    extraction_concurrency: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=lambda: os.cpu_count() or 1)
    freshet_verify_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    freshet_running_per_installation: Annotated[int, Field(ge=1, le=256)] | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _not_empty(cls, value: object, info: ValidationInfo) -> object:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(text, str) or text.strip() or get_origin(cls.model_fields[str(info.field_name)].annotation) is list:
            return value
        if info.field_name in MAY_BE_EMPTY:
            return None
        raise ValueError(EMPTY)

    @field_validator("freshet_seccomp")
    @classmethod
    def _seccomp_is_a_file(cls, value: Path | None) -> Path | None:
        if str(value) in {"unconfined", "builtin"}:
            msg = "must be the path of a JSON profile; unset it to use the engine's default profile"
            raise ValueError(msg)
        return value

    @field_validator("freshet_smtp_url")
    @classmethod
    def _smtp_url_is_valid(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            email.server(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _mail_is_complete(self) -> Self:
        if (self.freshet_smtp_url is None) != (self.freshet_mail_from is None):
            msg = "FRESHET_SMTP_URL and FRESHET_MAIL_FROM must be set together: set both, or neither"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _app_is_complete(self) -> Self:
        if self.github_private_key and self.github_private_key_path:
            msg = "GITHUB_PRIVATE_KEY and GITHUB_PRIVATE_KEY_PATH are both set: unset one of them"
            raise ValueError(msg)
        credentials = {
            "GITHUB_APP_ID": self.github_app_id,
            "GITHUB_PRIVATE_KEY or GITHUB_PRIVATE_KEY_PATH": self.github_private_key or self.github_private_key_path,
            "GITHUB_WEBHOOK_SECRET": self.github_webhook_secret,
        }
        missing = [name for name, value in credentials.items() if value is None]
        if missing and len(missing) < len(credentials):
            msg = f"{' and '.join(missing)} must be set too: other credentials of the GitHub App are set"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _kubernetes_is_complete(self) -> Self:
        if self.freshet_runner != "kubernetes":
            return self
        needed = {
            "FRESHET_KUBERNETES_NAMESPACE": self.freshet_kubernetes_namespace,
            "FRESHET_KUBERNETES_IMAGE": self.freshet_kubernetes_image,
        }
        if missing := [name for name, value in needed.items() if not value]:
            msg = f"{' and '.join(missing)} must be set: FRESHET_RUNNER is kubernetes"
            raise ValueError(msg)
        if self.freshet_seccomp is not None:
            msg = "FRESHET_SECCOMP cannot be used: on Kubernetes, pods have the profile RuntimeDefault of their nodes; unset it"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _client_is_complete(self) -> Self:
        if (self.github_client_id is None) != (self.github_client_secret is None):
            msg = "GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET must be set together: set both, or neither"
            raise ValueError(msg)
        return self

    @property
    def public_url(self) -> str:
        """The base URL under which GitHub and people reach the service."""
        return self.backend_url or f"http://{self.host}:{self.port}"

    @property
    def pages_may_be_open(self) -> bool:
        """Whether only this host can reach the service, as far as the configuration says: then pages may be shown without sign-in."""
        return is_loopback(self.host) and is_loopback(urlsplit(self.public_url).hostname or "")

    @property
    def session_lifetime(self) -> timedelta:
        """How long a sign-in lasts at most."""
        return timedelta(hours=self.freshet_session_hours)

    @property
    def delivery_retention(self) -> timedelta:
        """How long GitHub can redeliver: three days on github.com, eight on GitHub Enterprise Server.

        https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks
        """
        return timedelta(days=3 if self.github_api_url == "https://api.github.com" else 8)

    @property
    def history_retention(self) -> timedelta | None:
        """How long ended extractions are kept; None: forever."""
        return timedelta(days=self.freshet_history_days) if self.freshet_history_days else None

    @property
    def work_dir(self) -> Path:
        """Caches and scratch files of extractions."""
        return self.dbt_work_dir or self.freshet_data_dir / "work"

    @property
    def running_per_installation(self) -> int:
        """How many extractions of one installation run at once: by default one place is left to the others."""
        return self.freshet_running_per_installation or max(self.extraction_concurrency - 1, 1)

    @property
    def package_hosts(self) -> frozenset[str]:
        """Hosts that packages may come from even if they are not public; see `addresses.configured`."""
        return configured([self.dbt_package_hub_url, self.github_server_url], self.freshet_package_hosts)

    @property
    def public_package_hosts(self) -> frozenset[str]:
        """The same for what strangers ask for: only where everybody's packages come from."""
        return configured([self.dbt_package_hub_url, self.github_server_url])

    @property
    def stale_after(self) -> timedelta:
        """How long a commit may wait for its extraction before notifications report a stale lineage."""
        return timedelta(minutes=self.freshet_stale_minutes)

    @property
    def private_packages(self) -> private.PrivatePackages:
        """Which private repositories may be used as packages."""
        return private.PrivatePackages(tuple(self.freshet_private_packages))

    @property
    def subscription_rules(self) -> SubscriptionRules:
        """Where notifications may be sent. The sender's own domain is the default for email."""
        own_domain = [email.sender(self.freshet_mail_from).domain.lower()] if self.freshet_mail_from else []
        domains = frozenset(self.freshet_mail_domains or own_domain)
        return SubscriptionRules(self.freshet_smtp_url is not None, domains, configured([], self.freshet_notify_hosts))

    @property
    def seccomp_profile(self) -> str | None:
        """The seccomp profile as JSON for the engine. Raises ConfigurationError if it is unreadable or allows every call by default."""
        if self.freshet_seccomp is None:
            return None
        doing = "reading the configuration"
        try:
            profile = json.loads(self.freshet_seccomp.read_text())
        except (OSError, ValueError) as error:
            raise ConfigurationError(doing, f"FRESHET_SECCOMP: {_unreadable(self.freshet_seccomp, error)}") from error
        if not isinstance(profile, dict) or profile.get("defaultAction") in {None, "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"}:
            raise ConfigurationError(doing, "FRESHET_SECCOMP: the file must be a seccomp profile whose `defaultAction` denies calls")
        return json.dumps(profile, separators=(",", ":"))

    @property
    def private_key_pem(self) -> SecretStr | None:
        """The App's private key. Raises ConfigurationError if its file cannot be read."""
        if self.github_private_key_path is None:
            # Many people keep a key in an environment file as one line with \n in it.
            key = self.github_private_key
            return SecretStr(key.get_secret_value().replace("\\n", "\n")) if key else None
        try:
            return SecretStr(self.github_private_key_path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            reason = f"GITHUB_PRIVATE_KEY_PATH: {_unreadable(self.github_private_key_path, error)}"
            raise ConfigurationError("reading the configuration", reason) from error


def read(renamed: Sequence[RenamedSetting] = RENAMED) -> Settings:
    """Read the environment, old names too, which are logged. Raises ConfigurationError that names every unknown or invalid variable."""
    old = deprecations.resolve(os.environ, renamed)
    known = {name.upper() for name in Settings.model_fields} | {setting.old for setting in renamed}
    complaints = [*config_errors.unknown(os.environ.keys(), known), *old.complaints]
    for warning in old.warnings:
        logger.warning("a setting is deprecated", setting=warning)
    settings = None
    try:
        settings = Settings(**{name.lower(): value for name, value in old.values.items()})  # type: ignore[arg-type]
    except ValidationError as error:
        complaints += [config_errors.complaint(detail) for detail in error.errors(include_url=False)]
    if settings is None or complaints:
        raise ConfigurationError("reading the configuration", "\n  ".join(["", *complaints]) if complaints[1:] else complaints[0])
    return settings


def environment() -> dict[str, str]:
    """The whole environment, for git: it holds the user's proxies, keys and git configuration."""
    return dict(os.environ)


def _unreadable(path: Path, error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is not text of the expected form"
    return f"{path} cannot be read ({reason})"
