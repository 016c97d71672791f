"""What people read about a variable that cannot be used: its name, what is wrong with its value, and an example. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations
from typing import Any

OWN_PREFIXES = ("FRESHET_", "EXTRACTION_")
"""No other program uses these prefixes, so an unknown variable with one of them is a misspelled name."""
SHARED_PREFIXES = ("GITHUB_", "DBT_", "DOCKER_", "DATABASE_", "BACKEND_")
"""Other programs use these too, so an unknown variable stops the start only if it is one letter away from one of ours."""
EMPTY = "must not be empty: set a value, or unset the variable"
MAX_SHOWN = 60

EXPECTED: Mapping[str, tuple[str, str]] = {
    "BACKEND_URL": ("the public URL of this service", "https://freshet.example.com"),
    "DATABASE_URL": ("the URL of a PostgreSQL database", "postgresql://freshet:PASSWORD@db.example.com:5432/freshet"),
    "DBT_CPUS": ("a number of processors above 0, at most 4096", "2"),
    "DBT_DEPS_NETWORK": ("the name of a Docker network", "dbt-deps"),
    "DBT_DOCKER_IMAGE": ("the name of a runner image", "dbt-runner:latest"),
    "DBT_DOCKER_IMAGES": ("comma-separated names of runner images", "dbt-runner:1.11,dbt-runner:1.10"),
    "DBT_MEMORY": ("a size from 256m to 16384g", "2g"),
    "DBT_PACKAGE_HUB_URL": ("the URL of a package hub", "https://hub.getdbt.com"),
    "DBT_PIDS": ("a whole number from 16 to 4194304", "256"),
    "DBT_TIMEOUT": ("a number of seconds above 0, at most a week", "600"),
    "DBT_WORK_DIR": ("the path of a directory", "/var/cache/freshet"),
    "DOCKER_CERT_PATH": ("the path of the directory of ca.pem, cert.pem and key.pem", "/etc/docker/client"),
    "DOCKER_HOST": ("the address of a Docker engine", "unix:///var/run/docker.sock"),
    "DOCKER_TLS_VERIFY": ("1, or nothing", "1"),
    "EXTRACTION_CONCURRENCY": ("a whole number from 1 to 256", "4"),
    "FRESHET_API_RATE_LIMIT": ("a whole number of requests a minute from 0 to 1000000", "600"),
    "FRESHET_API_TOKENS": ("comma-separated tokens", "TOKEN, as printed by `openssl rand -hex 32`"),
    "FRESHET_API_TOKENS_FILE": ("the path of a file with one token per line", "/etc/freshet/tokens"),
    "FRESHET_CONTAINER_RUNTIME": ("the name of an OCI runtime that the Docker engine has, or of a RuntimeClass", "runsc"),
    "FRESHET_DATA_DIR": ("the path of a directory for this service alone", "/var/lib/freshet"),
    "FRESHET_FRESHNESS_OBJECTIVE": ("a number of seconds above 0, at most 86400", "60"),
    "FRESHET_GRACE_DAYS": ("a number of days from 0 to 36500", "7"),
    "FRESHET_HISTORY_DAYS": ("a number of days above 0, at most 36500, or forever", "90"),
    "FRESHET_ISOLATION": ("strict or available", "strict"),
    "FRESHET_KUBERNETES_IMAGE": ("the name of a runner image in a registry", "registry.example.com/dbt-runner:1.11"),
    "FRESHET_KUBERNETES_NAMESPACE": ("the name of a namespace for pods alone", "freshet-runner"),
    "FRESHET_LOG_FORMAT": ("auto, json or text", "json"),
    "FRESHET_MAIL_DOMAINS": ("comma-separated domains, or *", "example.com,example.org"),
    "FRESHET_MAIL_FROM": ("an email address", "Freshet <freshet@example.com>"),
    "FRESHET_MCP_TOKEN": ("a GitHub token, or a service token", "TOKEN"),
    "FRESHET_MCP_URL": ("the URL of a running service", "https://freshet.example.com"),
    "FRESHET_NOTIFY_HOSTS": ("comma-separated hosts, with or without a port", "chat.example.com,hooks.example.com:8443"),
    "FRESHET_OPERATORS": ("comma-separated logins on GitHub, and teams as org/team", "octocat,octo-org/data-platform"),
    "FRESHET_PACKAGE_HOSTS": ("comma-separated hosts, with or without a port", "gitlab.example.com,git.example.com:8443"),
    "FRESHET_PRIVATE_PACKAGES": ("which private repositories may be packages", "installation"),
    "FRESHET_RUNNER": ("docker or kubernetes", "docker"),
    "FRESHET_RUNNING_PER_INSTALLATION": ("a whole number from 1 to 256", "2"),
    "FRESHET_SECCOMP": ("the path of a seccomp profile in JSON", "/etc/freshet/seccomp.json"),
    "FRESHET_SESSION_HOURS": ("a number of hours above 0, at most 9600", "168"),
    "FRESHET_SMTP_URL": ("the URL of a mail server", "smtp://USER:PASSWORD@mail.example.com:587"),
    "FRESHET_STALE_MINUTES": ("a number of minutes above 0, at most 43200", "60"),
    "FRESHET_VERIFY_SHARE": ("a number from 0 to 1", "0.05"),
    "FRESHET_WARM_CONTAINERS": ("a whole number from 0 to 256", "2"),
    "GITHUB_API_URL": ("the URL of GitHub's API", "https://github.example.com/api/v3"),
    "GITHUB_APP_ID": ("the App's id, a whole number", "123456"),
    "GITHUB_CLIENT_ID": ("the App's client id", "Iv23liExample"),
    "GITHUB_CLIENT_SECRET": ("the App's client secret", "SECRET, from the App's page on GitHub"),
    "GITHUB_PRIVATE_KEY": ("the App's private key as PEM", r"-----BEGIN RSA PRIVATE KEY-----\n…"),
    "GITHUB_PRIVATE_KEY_PATH": ("the path of the App's private key", "/etc/freshet/app.pem"),
    "GITHUB_SERVER_URL": ("the URL of GitHub", "https://github.example.com"),
    "GITHUB_WEBHOOK_SECRET": ("the secret of the App's webhook", "SECRET, as printed by `openssl rand -hex 32`"),
    "HOST": ("the address to listen on", "127.0.0.1"),
    "KUBECONFIG": ("the path of a kubeconfig file", "/etc/freshet/kubeconfig"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("the URL of an OTLP collector that takes HTTP", "http://127.0.0.1:4318"),
    "PORT": ("a whole number from 0 to 65535", "3001"),
}
"""What a value is, and an example. Secrets are words in capitals here, so that nobody copies one."""
SECRET = frozenset(
    {
        "DATABASE_URL",
        "FRESHET_API_TOKENS",
        "FRESHET_MCP_TOKEN",
        "FRESHET_SMTP_URL",
        "GITHUB_CLIENT_SECRET",
        "GITHUB_PRIVATE_KEY",
        "GITHUB_WEBHOOK_SECRET",
    }
)
"""Their values are never shown."""
OTHER_NAMES = {
    "FRESHET_TOKEN": "FRESHET_API_TOKENS",
    "FRESHET_TOKENS": "FRESHET_API_TOKENS",
    "FRESHET_URL": "BACKEND_URL",
    "FRESHET_BACKEND_URL": "BACKEND_URL",
    "FRESHET_PUBLIC_URL": "BACKEND_URL",
    "FRESHET_CONCURRENCY": "EXTRACTION_CONCURRENCY",
    "FRESHET_WORK_DIR": "DBT_WORK_DIR",
    "FRESHET_LOG": "FRESHET_LOG_FORMAT",
}
"""Names that people may expect, where the spelling alone leads elsewhere or nowhere."""


def complaint(detail: Mapping[str, Any]) -> str:
    """The words for an error of pydantic, as `ValidationError.errors` describes it."""
    ours = detail["type"] == "value_error"
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not detail["loc"]:
        return f"{message.rstrip('.')}."
    name = str(detail["loc"][0]).upper()
    expected, example = EXPECTED[name]
    if not ours:
        message = f"{_shown(name, detail.get('input'))} is not {expected}"
    return f"{name}: {message.rstrip('.')}. Example: {name}={example}"


def unknown(environment: Collection[str], known: Collection[str]) -> list[str]:
    """The words for variables that look like ours and are not, each with the name that was probably meant."""
    complaints, names = [], {name.upper() for name in environment}
    for name in sorted(environment):
        upper = name.upper()
        if upper in known:
            continue
        if upper.startswith(OWN_PREFIXES):
            meant = _meant(upper, known)
            complaints.append(f"{name}: Freshet has no such variable. {f'Write {meant}, or unset it.' if meant else 'Unset it.'}")
            continue
        near = sorted(one for one in known if _is_near(upper, one)) if upper.startswith(SHARED_PREFIXES) else []
        if near and not {*near} & names:
            complaints.append(f"{name}: Freshet has no such variable. Write {near[0]}, or unset it.")
    return complaints


def _meant(name: str, known: Collection[str]) -> str | None:
    """The variable that somebody probably meant by a name with one of our own prefixes."""
    if name in OTHER_NAMES:
        return OTHER_NAMES[name]
    rest = name.partition("_")[2]
    if rest in known:  # FRESHET_DATABASE_URL, FRESHET_PORT
        return rest
    words = {*name.split("_")}
    same_words: Sequence[str] = [one for one in known if {*one.split("_")} == words]
    close = same_words or get_close_matches(name, known, n=1, cutoff=0.8)
    return close[0] if close else None


def _is_near(name: str, other: str) -> bool:
    """True for names that one letter tells apart: another one, one more or less, two swapped; or an underscore."""
    if name.replace("_", "") == other.replace("_", ""):
        return True
    if len(name) == len(other):
        differing = [place for place, (one, two) in enumerate(zip(name, other, strict=True)) if one != two]
        swapped = len(differing) == 2 and name[differing[0]] == other[differing[1]] and name[differing[1]] == other[differing[0]]  # noqa: PLR2004
        return len(differing) == 1 or swapped
    longer, shorter = (name, other) if len(name) > len(other) else (other, name)
    return len(longer) == len(shorter) + 1 and shorter in {"".join(letters) for letters in combinations(longer, len(shorter))}


def _shown(name: str, value: object) -> str:
    """A value as it was written, if it can be shown."""
    text = value if isinstance(value, str) else ""
    if name in SECRET or not text or len(text) > MAX_SHOWN or not re.fullmatch(r"[\w .,:/*+-]+", text):
        return "its value"
    return f"`{text}`"
