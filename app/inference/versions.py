"""Which dbt a project wishes: what its owners say in `.github/freshet.yml`, what it requires, and what its lock files hold."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from app.images import Wish
from app.inference.evidence import is_ci, is_lock, is_requirements, known
from app.inference.names import away
from app.inference.specs import PROJECT_FILE
from app.settings import PATH, ProjectSettings
from app.texts import listed, mapping

_RANGE = re.compile(r"(>=|<=|==|=|>|<)?\s*v?(\d+(?:\.\d+){0,2}[0-9A-Za-z.+-]*)")
_NUMBER = r"(\d+(?:\.\d+){1,2}(?:(?:a|b|rc)\d+)?)"
_PINS = (
    # a lock's entry (uv, poetry, pdm; Pipfile.lock is JSON), a requirement, a Pipfile's or poetry's line, conda's, an image's tag
    re.compile(rf"""name\s*=\s*"dbt-([a-z-]+)"\s+version\s*=\s*"{_NUMBER}["+]"""),
    re.compile(rf""""dbt-([a-z-]+)":\s*\{{[^}}]{{0,20000}}?"version":\s*"=={_NUMBER}["+]"""),
    re.compile(rf"""(?<![\w-])dbt[-_]([a-z-]+)(?:\[[^\]\n]*\])?\s*===?\s*v?{_NUMBER}"""),
    re.compile(r"""(?<![\w-])dbt[-_]([a-z-]+)(?:\[[^\]\n]*\])?\s*~=\s*v?(\d+\.\d+\.\d+)"""),
    re.compile(rf"""(?<![\w-])dbt[-_]([a-z-]+)(?:\[[^\]\n]*\])?\s*>=?\s*{_NUMBER}\s*,\s*<=?\s*{_NUMBER}"""),
    re.compile(rf"""^\s*"?dbt-([a-z-]+)"?\s*=\s*(?:\{{[^\n}}]*version\s*=\s*)?"(?:===?|~=|~)?{_NUMBER}""", re.MULTILINE),
    re.compile(rf"""^\s*-\s*["']?dbt-([a-z-]+)=v?{_NUMBER}""", re.MULTILINE),
    re.compile(rf"""(?:ghcr\.io/dbt-labs|xemuliam|fishtownanalytics)/dbt-([a-z-]+):v?{_NUMBER}"""),
)
_CORE = "core"


def wish(project_dir: str, texts: Mapping[str, bytes], told: ProjectSettings) -> Wish:
    """Return the dbt version that a project wishes, `texts` as for `project.lay_out`.

    What the owners say in `.github/freshet.yml` stands in the place of all else.
    """
    if told.dbt_version:
        return Wish(required=(told.dbt_version,), evidence=f"`dbt_version` in `{PATH}`")
    path = posixpath.join(project_dir, PROJECT_FILE)
    required = tuple(ranges(mapping(texts.get(path)).get("require-dbt-version")))
    locked, evidence = _locked(project_dir, texts) or (None, "")
    if required:
        evidence = f"`require-dbt-version` in `{path}`" + (f", {evidence}" if evidence else "")
    return Wish(required, locked, evidence)


def ranges(value: object) -> Iterator[str]:
    """Yield the ranges of a `require-dbt-version`, one comparison each. What is none is for dbt to complain about.

    >>> list(ranges(">=1.6.0, <2.0.0")), list(ranges([">=1.3", "{{ x }}"])), list(ranges("==1.7.1"))
    (['>=1.6.0', '<2.0.0'], ['>=1.3'], ['=1.7.1'])
    """
    for item in listed(value):
        for part in str(item).split(",") if isinstance(item, str | int | float) and not isinstance(item, bool) else ():
            match = _RANGE.fullmatch(part.strip())
            if match:
                yield f"{(match[1] or '').replace('==', '=')}{match[2]}"


def _locked(project_dir: str, texts: Mapping[str, bytes]) -> tuple[str, str] | None:
    """Return the version that the nearest file pins dbt-core to, or else an adapter: their minor versions go together."""
    paths = [path for path in texts if is_requirements(path) or is_ci(path)]
    paths.sort(key=lambda path: (is_ci(path), away(project_dir, path), not is_lock(path), path))
    nearest: tuple[str, str] | None = None
    for path in paths:
        for distribution, version in _pins(texts[path]):
            if distribution == _CORE:
                return version, f"`dbt-core` {version} in `{path}`"
            nearest = nearest or (version, f"`dbt-{distribution}` {version} in `{path}`")
    return nearest


def _pins(text: bytes) -> Iterator[tuple[str, str]]:
    plain = re.sub(r"(?:^|(?<=\s))#.*$", "", text.decode(errors="replace"), flags=re.MULTILINE)
    for pattern in _PINS:
        for match in pattern.finditer(plain):
            name, version = match[1].strip("-"), match[2]
            if (name == _CORE or known(name)) and _is_one_minor(*match.groups()[1:]):
                yield name, version


def _is_one_minor(low: str, high: str | None = None) -> bool:
    """Tell whether a range holds one minor version only: `>=1.7.2,<1.8`."""
    if high is None:
        return True
    (major, minor), (above, above_minor) = ([int(part) for part in re.findall(r"\d+", text)[:2]] for text in (low, high))
    return major == above and above_minor - minor in {0, 1}
