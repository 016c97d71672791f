"""The only reader of the environment: every variable, its default and what makes it unusable. `docs/configuration.md` describes them."""

from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.deps.addresses import configured, is_host
from app.errors import ConfigurationError
from app.notices import Rules, is_mail_address
from app.notify import mail

OWN_PREFIXES = ("FRESHET_", "EXTRACTION_")
"""Variables that begin so can only be meant for us: an unknown one is a mistake in a name."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
SMALLEST_MEMORY_BYTES = 256 << 20
MOST_DAYS = 36_500
MOST_MINUTES = 60 * 24 * 30


def _size(value: object) -> object:
    """Read Docker's way to write sizes: `512m`, `2g`, a number of bytes."""
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value.strip())
    if not found:
        msg = "is not a size such as 512m or 2g"
        raise ValueError(msg)
    return int(float(found[1]) * _UNITS[found[2].lower()])


def _url(value: str) -> str:
    TypeAdapter(HttpUrl).validate_python(value)
    return value.rstrip("/")


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _host(value: str) -> str:
    if not is_host(value):
        msg = f"{value!r} is not a host name such as gitlab.example.com or git.example.com:8443"
        raise ValueError(msg)
    return value.lower()


def _sender(value: str) -> str:
    mail.sender(value)
    return value


def _domain(value: str) -> str:
    if value != "*" and not is_mail_address(f"a@{value}"):
        msg = f"{value!r} is not a domain such as example.com, and not *"
        raise ValueError(msg)
    return value.lower()


def _days(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() == "forever" else value


Url = Annotated[str, AfterValidator(_url)]
Listed = Annotated[list[str], NoDecode, BeforeValidator(_listed)]
Hosts = Annotated[list[Annotated[str, AfterValidator(_host)]], NoDecode, BeforeValidator(_listed)]
Domains = Annotated[list[Annotated[str, AfterValidator(_domain)]], NoDecode, BeforeValidator(_listed)]
Days = Annotated[Annotated[float, Field(gt=0, le=MOST_DAYS)] | None, BeforeValidator(_days)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=SMALLEST_MEMORY_BYTES)]


class Settings(BaseSettings):
    """One field per environment variable, in lower case."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True)

    database_url: SecretStr | None = None
    freshet_data_dir: Path = Path(".freshet")
    freshet_grace_days: Annotated[float, Field(ge=0)] = 7.0
    freshet_history_days: Days = 90.0
    freshet_freshness_objective: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 3001
    backend_url: Url | None = None
    github_app_id: Annotated[int, Field(gt=0)] | None = None
    github_private_key: SecretStr | None = None
    github_private_key_path: Path | None = None
    github_webhook_secret: SecretStr | None = None
    github_client_id: str | None = None
    github_client_secret: SecretStr | None = None
    github_api_url: Url = "https://api.github.com"
    github_server_url: Url = "https://github.com"
    freshet_api_tokens: Annotated[list[SecretStr], NoDecode, BeforeValidator(_listed)] = []
    freshet_api_tokens_file: Path | None = None
    freshet_api_rate_limit: Annotated[int, Field(ge=0, le=1_000_000)] = 600
    docker_host: str | None = None
    docker_cert_path: Path | None = None
    docker_tls_verify: str | None = None
    dbt_docker_image: Annotated[str, Field(min_length=1)] = "dbt-runner:latest"
    dbt_docker_images: Listed = []
    dbt_work_dir: Path | None = None
    dbt_cpus: Annotated[float, Field(gt=0)] = 2.0
    dbt_memory: Size = 2 << 30
    dbt_timeout: Annotated[float, Field(gt=0)] = 600.0
    dbt_pids: Annotated[int, Field(ge=16)] = 256
    dbt_deps_network: Annotated[str, Field(min_length=1)] | None = None
    dbt_package_hub_url: Url | None = None
    freshet_package_hosts: Hosts = []
    freshet_isolation: Literal["strict", "available"] = "strict"
    freshet_container_runtime: Annotated[
        Annotated[str, Field(pattern=r"^\w[\w.-]*$")] | None, BeforeValidator(lambda name: name or None)
    ] = None
    freshet_seccomp: Path | None = None
    freshet_warm_containers: Annotated[int, Field(ge=0, le=256)] | None = None
    freshet_smtp_url: SecretStr | None = None
    freshet_mail_from: Annotated[str, AfterValidator(_sender)] | None = None
    freshet_mail_domains: Domains = []
    freshet_notify_hosts: Hosts = []
    freshet_stale_minutes: Annotated[float, Field(gt=0, le=MOST_MINUTES)] = 60.0
    extraction_concurrency: Annotated[int, Field(ge=1, le=256)] = Field(default_factory=lambda: os.cpu_count() or 1)

    @field_validator("github_webhook_secret", "github_client_secret", "github_private_key", "database_url")
    @classmethod
    def _not_empty(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().strip():
            msg = "is empty: unset it, or give it a value"
            raise ValueError(msg)
        return value

    @field_validator("freshet_seccomp")
    @classmethod
    def _confined(cls, value: Path | None) -> Path | None:
        if str(value) in {"unconfined", "builtin"}:
            msg = "takes the path of a profile in JSON; unset it for the engine's default profile"
            raise ValueError(msg)
        return value

    @field_validator("freshet_smtp_url")
    @classmethod
    def _mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            mail.server(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _whole_mail(self) -> Self:
        """A mail needs a server and a sender."""
        if (self.freshet_smtp_url is None) != (self.freshet_mail_from is None):
            msg = "FRESHET_SMTP_URL and FRESHET_MAIL_FROM belong together: set both, or neither"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _whole_app(self) -> Self:
        """An App's identity is given as a whole, or not at all."""
        if self.github_private_key and self.github_private_key_path:
            msg = "GITHUB_PRIVATE_KEY and GITHUB_PRIVATE_KEY_PATH are both set: unset one of them"
            raise ValueError(msg)
        given = {
            "GITHUB_APP_ID": self.github_app_id,
            "GITHUB_PRIVATE_KEY or GITHUB_PRIVATE_KEY_PATH": self.github_private_key or self.github_private_key_path,
            "GITHUB_WEBHOOK_SECRET": self.github_webhook_secret,
        }
        missing = [name for name, value in given.items() if value is None]
        if missing and len(missing) < len(given):
            msg = f"{', '.join(missing)} is not set, but other settings of the GitHub App are"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _whole_client(self) -> Self:
        """Likewise the App's client."""
        if (self.github_client_id is None) != (self.github_client_secret is None):
            missing, given = ("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET")[:: 1 if self.github_client_id is None else -1]
            msg = f"{missing} is not set, but {given} is"
            raise ValueError(msg)
        return self

    @property
    def public_url(self) -> str:
        """Where GitHub and people reach us."""
        return self.backend_url or f"http://{self.host}:{self.port}"

    @property
    def deliveries_kept(self) -> timedelta:
        """How long GitHub keeps deliveries to send them again.

        github.com for three days, GitHub Enterprise Server for eight:
        https://docs.github.com/en/webhooks/testing-and-troubleshooting-webhooks/redelivering-webhooks
        """
        return timedelta(days=3 if self.github_api_url == "https://api.github.com" else 8)

    @property
    def history(self) -> timedelta | None:
        """How long extractions that have ended are kept, None for ever."""
        return timedelta(days=self.freshet_history_days) if self.freshet_history_days else None

    @property
    def work_dir(self) -> Path:
        """Scratch and caches of extractions."""
        return self.dbt_work_dir or self.freshet_data_dir / "work"

    @property
    def warm_containers(self) -> int:
        """How many containers may stand ready ahead of their jobs."""
        return self.extraction_concurrency if self.freshet_warm_containers is None else self.freshet_warm_containers

    @property
    def package_hosts(self) -> frozenset[str]:
        """Hosts that the operator lets us fetch packages from, wherever they stand: see `addresses.configured`."""
        return configured([self.dbt_package_hub_url, self.github_server_url], self.freshet_package_hosts)

    @property
    def stale(self) -> timedelta:
        """How long a commit may wait for its extraction before subscriptions hear of a stale lineage."""
        return timedelta(minutes=self.freshet_stale_minutes)

    @property
    def notify_rules(self) -> Rules:
        """Who may be told: without other domains, those who push may have mail sent within the sender's own."""
        own = [mail.sender(self.freshet_mail_from).domain.lower()] if self.freshet_mail_from else []
        domains = frozenset(self.freshet_mail_domains or own)
        return Rules(self.freshet_smtp_url is not None, domains, configured([], self.freshet_notify_hosts))

    @property
    def seccomp_profile(self) -> str | None:
        """The seccomp profile as the engine takes it. Raises ConfigurationError when its file is none, or lets every call through."""
        if self.freshet_seccomp is None:
            return None
        doing = "reading the configuration"
        try:
            profile = json.loads(self.freshet_seccomp.read_text())
        except (OSError, ValueError) as error:
            raise ConfigurationError(doing, f"FRESHET_SECCOMP: {error}") from error
        if not isinstance(profile, dict) or profile.get("defaultAction") in {None, "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"}:
            raise ConfigurationError(doing, "FRESHET_SECCOMP: it is no seccomp profile whose `defaultAction` refuses")
        return json.dumps(profile, separators=(",", ":"))

    @property
    def private_key_pem(self) -> SecretStr | None:
        """The App's private key. Raises ConfigurationError when its file cannot be read."""
        if self.github_private_key_path is None:
            # One line with \n in it is how many people keep a key in an environment file.
            key = self.github_private_key
            return SecretStr(key.get_secret_value().replace("\\n", "\n")) if key else None
        try:
            return SecretStr(self.github_private_key_path.read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError("reading the configuration", f"GITHUB_PRIVATE_KEY_PATH: {error}") from error


def read() -> Settings:
    """Read the environment. Raises ConfigurationError that names every variable that is unknown or unusable."""
    known = {name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(OWN_PREFIXES) and name not in known)
    complaints = [f"{name} is not a variable of Freshet" for name in unknown]
    try:
        settings = Settings()
    except ValidationError as error:
        complaints += [_complaint(detail) for detail in error.errors(include_input=False, include_url=False)]
        raise ConfigurationError("reading the configuration", "; ".join(complaints)) from None
    if complaints:
        raise ConfigurationError("reading the configuration", "; ".join(complaints))
    return settings


def environment() -> dict[str, str]:
    """Return the user's own environment, for git on the command line: their proxies, keys and git configuration are in it."""
    return dict(os.environ)


def _complaint(detail: Any) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    name = str(detail["loc"][0]).upper() if detail["loc"] else ""
    return f"{name}: {message[0].lower()}{message[1:]}" if name else message
