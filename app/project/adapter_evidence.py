"""Signs of a project's adapter in its files: distributions, CI files, configs and SQL dialects.

Adapters are named by their type, as in the `type:` of a profile.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from app.core.pieces import pieces
from app.project.adapters import ADAPTERS, BY_TYPE, TYPES

CLEAR = 3
"""A score decides from here on, if it is at least twice the next one."""

_PROFILES = re.compile(r"([a-z0-9]+[._-]){0,2}profiles([._-][a-z0-9]+){0,2}\.ya?ml([._-][a-z0-9]+){0,2}")
_LOCKS = frozenset({"uv.lock", "poetry.lock", "pdm.lock", "pipfile.lock", "pylock.toml"})
_REQUIREMENTS = _LOCKS | {
    *("constraints.txt", "pyproject.toml", "pipfile", "setup.py", "setup.cfg", "meltano.yml", "containerfile"),
}
_SEPARATOR = re.compile(r"[._-]")
_ENVIRONMENTS = frozenset({"env", "environment", "condaenv", "condaenvironment"})
_ENDINGS = (".yml", ".yaml", ".txt", ".in", ".pip", ".toml", ".lock", ".cfg", "setup.py", ".ini", ".sqlfluff")
"""A quick test that rules out most files: a name without any of these, and without `file`, is no evidence."""
_CI = re.compile(r"\.(github/(workflows|actions)|gitlab|circleci|azure-pipelines|azuredevops|buildkite)/.*\.ya?ml")
_CI_NAME = re.compile(
    r"\.gitlab-ci\.yml|azure-pipelines.*\.ya?ml|bitbucket-pipelines\.yml|buildspec.*\.ya?ml|cloudbuild.*\.ya?ml|jenkinsfile|makefile|justfile"
    r"|taskfile\.ya?ml|(docker-)?compose.*\.ya?ml|\.pre-commit-config\.ya?ml|\.sqlfluff|tox\.ini|\.travis\.yml"
)
_DISTRIBUTION = re.compile(r"(?<![\w@-])dbt[-_]([a-z0-9]+(?:[-_][a-z0-9]+){0,2})", re.IGNORECASE)
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$", re.MULTILINE)
_TYPE = re.compile(r"^[ \t]*type:[ \t]*[\"']?(\w+)", re.MULTILINE)
_SQL_DIALECT = re.compile(r"^[ \t]*dialect[ \t]*[:=][ \t]*[\"']?(\w+)", re.MULTILINE)
_IMPLEMENTATION = re.compile(r"\bmacro\s+(([a-z0-9]{1,20})__\w{1,100})\s*\(")
_DEFAULT = re.compile(
    r"""\{\{-?\s*(?:env_var|var)\(\s*(?:'[^']*'|"[^"]*")\s*(?:,\s*(?:'([^']*)'|"([^"]*)")\s*\)|\)\s*(?:\|\s*default\(|or)\s*(?:'([^']*)'|"([^"]*)")\s*\)?)"""
)
_DIALECTS = tuple(
    (adapter.type, sign.literal, re.compile(sign.pattern) if sign.pattern else None, sign.weight)
    for adapter in ADAPTERS
    for sign in adapter.signs
)


def evidence_rank(path: str) -> int | None:
    """Rank a file as evidence of adapter and dbt version, 0 for the best; None: it is no evidence."""
    name = posixpath.basename(path).lower()
    if not name.endswith(_ENDINGS) and "file" not in name:
        return None
    return next((index for index, is_one in enumerate((is_profiles, is_requirements, is_ci)) if is_one(path)), None)


def is_profiles(path: str) -> bool:
    """Whether a file is named like a `profiles.yml`, or like an example or a template of one."""
    return _PROFILES.fullmatch(posixpath.basename(path).lower()) is not None


def is_requirements(path: str) -> bool:
    """Whether a file lists Python packages to install."""
    name = posixpath.basename(path).lower()
    below = posixpath.basename(posixpath.dirname(path)).lower() == "requirements" and path.endswith((".txt", ".in"))
    return below or name in _REQUIREMENTS or _is_named_like_requirements(name)


def _is_named_like_requirements(name: str) -> bool:
    """Whether a name is one such as `dev-requirements.txt`, `conda_env.yml` or `app.Dockerfile`."""
    words = _SEPARATOR.split(name)
    if name.endswith((".txt", ".in", ".pip")):
        return not {"requirement", "requirements"}.isdisjoint(words)
    if name.endswith((".yml", ".yaml")) and ("".join(words[:2]) in _ENVIRONMENTS or words[0] in _ENVIRONMENTS):
        return True
    return "dockerfile" in words


def is_lock(path: str) -> bool:
    """Whether a file pins every Python package to install."""
    return posixpath.basename(path).lower() in _LOCKS


def is_ci(path: str) -> bool:
    """Whether a file configures CI or a tool such as sqlfluff."""
    return _CI.fullmatch(path.lower()) is not None or _CI_NAME.fullmatch(posixpath.basename(path).lower()) is not None


def known_type(name: str) -> str | None:
    """Return the adapter type for any of its names; None if it is unknown.

    >>> known("PostgreSQL"), known("athena-community"), known("utils")
    ('postgres', 'athena', None)
    """
    adapter = BY_TYPE.get(canonical_type(name))
    return adapter.type if adapter and not adapter.by_type_only else None


def canonical_type(name: str) -> str:
    """Return an adapter type in dbt's spelling. Unknown ones are kept."""
    name = name.strip().lower().replace("-", "_")
    return TYPES.get(name, name)


def literal_or_default(value: object) -> str | None:
    """Return a string as written, or the default of its `env_var()` or `var()`; None for any other Jinja.

    >>> written("dev"), written("{{ env_var('DBT_TARGET', 'prod') }}"), written("{{ env_var('DBT_TARGET') }}")
    ('dev', 'prod', None)
    """
    if not isinstance(value, str) or not value:
        return None
    if "{" + "{" not in value and "{%" not in value:
        return value
    match = _DEFAULT.match(value.strip())
    whole = match is not None and value.count("{" + "{") == 1 and value.strip().endswith("}}")
    return next((group for group in match.groups() if group), None) if match and whole else None


def adapters_in_requirements(text: bytes) -> set[str]:
    """Return the adapters whose distributions (`dbt-ADAPTER`) a file names, except those on which another of them is built."""
    plain = pieces(uncommented(text))
    named = {adapter for piece in plain for match in _DISTRIBUTION.finditer(piece) if (adapter := known_type(match[1]))}
    return named - {BY_TYPE[adapter].built_on for adapter in named}


def adapters_in_ci(text: bytes) -> set[str]:
    """Return the adapters that a CI file or a tool's settings name: as a distribution, in a profile, or as sqlfluff's dialect."""
    plain = [*pieces(uncommented(text))]
    adapters_in_name = {match[1] for pattern in (_TYPE, _SQL_DIALECT) for piece in plain for match in pattern.finditer(piece)}
    named = {adapter for word in adapters_in_name if (adapter := known_type(word))} | adapters_in_requirements(text)
    return named - {BY_TYPE[adapter].built_on for adapter in named}


def adapters_in_name(name: str) -> set[str]:
    """Return the adapters that a dbt package's name or address names. `spark_utils` does not count: packages for many adapters use it.

    >>> words("get-select/dbt_snowflake_query_tags")
    {'snowflake'}
    """
    parts = [] if name.endswith("spark_utils") else re.split(r"[^a-z0-9]+", name.lower())
    return {adapter for part in parts if (adapter := known_type(part)) and part not in BY_TYPE[adapter].abbreviations}


def adapter_by_dialect(texts: Iterable[tuple[str, bytes]], among: AbstractSet[str]) -> dict[str, str]:
    """Return the adapter for which configs and SQL are clear evidence, with its phrase, or nothing. `among` limits it unless empty."""
    scores: Counter[str] = Counter()
    reasons: dict[str, tuple[int, str, str]] = {}
    for path, text in texts:
        for adapter, evidence_rank, sign in _signs(text.decode(errors="replace").lower()):
            scores[adapter] += evidence_rank
            reasons[adapter] = max(reasons.get(adapter, (0, "", "")), (evidence_rank, sign, path), key=lambda reason: reason[0])
    ranked = [(adapter, score) for adapter, score in scores.most_common() if not among or adapter in among]
    if not ranked or ranked[0][1] < CLEAR or (len(ranked) > 1 and ranked[0][1] < 2 * ranked[1][1]):
        return {}
    adapter = ranked[0][0]
    return {adapter: f"`{reasons[adapter][1]}` in `{reasons[adapter][2]}`"}


def adapters_with_macros(texts: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return the adapters that have macros of their own (`ADAPTER__name`, for `adapter.dispatch`), with their phrases."""
    found: dict[str, str] = {}
    for path, text in texts:
        for macro, adapter in _IMPLEMENTATION.findall(text.decode(errors="replace")):
            if known_type(adapter) == adapter:
                found.setdefault(adapter, f"the macro `{macro}` in `{path}`")
    return found


def _signs(text: str) -> Iterator[tuple[str, int, str]]:
    for adapter, needle, pattern, evidence_rank in _DIALECTS:
        if needle in text and (pattern is None or pattern.search(text)):
            yield adapter, evidence_rank, needle if needle != "`" else "names in backquotes"


def uncommented(text: bytes) -> str:
    """Return a file without what follows a `#`."""
    return "".join(_COMMENT.sub("", piece) for piece in pieces(text.decode(errors="replace")))
