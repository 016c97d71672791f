"""The dbt version that a project asks for: in `.github/freshet.yml`, in `require-dbt-version`, or by the pins in its files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from app.core.pieces import pieces
from app.core.yaml_text import listed, mapping
from app.project.adapter_evidence import is_ci, is_lock, is_requirements, known_type, uncommented
from app.project.directory_names import distance
from app.project.package_files import PROJECT_FILE
from app.project.repository_settings import PATH, ProjectSettings
from app.project.runner_images import RequestedVersion

_RANGE = re.compile(r"(>=|<=|==|=|>|<)?\s*v?(\d[0-9A-Za-z.+-]*+)")
MAX_ENTRY = 20_000
"""Characters of a lock file's entry up to its version."""
_NUMBER = r"(\d{1,9}(?:\.\d{1,9}){1,2}(?:(?:a|b|rc)\d{1,9})?)"
_BLANKS = r"[^\S\n]*+"
_EQUALS = f"{_BLANKS}={_BLANKS}"
_REQUIREMENT = r"(?<![\w-])dbt[-_]([a-z-]+)(?:\[[^\[\]\n]*+\])?\s*+"
_PINS = (
    # a lock's entry (uv, poetry, pdm; Pipfile.lock is JSON), a requirement, a Pipfile's or poetry's line, conda's, an image's tag
    re.compile(rf"""name\s*=\s*"dbt-([a-z-]+)"\s+version\s*=\s*"{_NUMBER}["+]"""),
    re.compile(rf""""dbt-([a-z-]+)":\s*+\{{[^{{}}]{{0,{MAX_ENTRY}}}?"version":\s*+"=={_NUMBER}["+]"""),
    re.compile(rf"""{_REQUIREMENT}===?\s*+v?{_NUMBER}"""),
    re.compile(rf"""{_REQUIREMENT}~=\s*+v?(\d{{1,9}}\.\d{{1,9}}\.\d{{1,9}})"""),
    re.compile(rf"""{_REQUIREMENT}>=?\s*+{_NUMBER}\s*+,\s*+<=?\s*+{_NUMBER}"""),
    re.compile(rf"""^{_BLANKS}"?dbt-([a-z-]+)"?{_EQUALS}(?:\{{[^\n}}]*version{_EQUALS})?"(?:===?|~=|~)?{_NUMBER}""", re.MULTILINE),
    re.compile(rf"""^{_BLANKS}-{_BLANKS}["']?dbt-([a-z-]+)=v?{_NUMBER}""", re.MULTILINE),
    re.compile(rf"""(?:ghcr\.io/dbt-labs|xemuliam|fishtownanalytics)/dbt-([a-z-]+):v?{_NUMBER}"""),
)
_CORE = "core"


def requested_version(project_dir: str, texts: Mapping[str, bytes], settings: ProjectSettings) -> RequestedVersion:
    """Return the version that a project asks for, `texts` as for `lay_out`. `.github/freshet.yml` overrides everything else."""
    if settings.dbt_version:
        return RequestedVersion(required=(settings.dbt_version,), evidence=f"`dbt_version` in `{PATH}`")
    path = posixpath.join(project_dir, PROJECT_FILE)
    required = tuple(ranges(mapping(texts.get(path)).get("require-dbt-version")))
    locked, evidence = _locked(project_dir, texts) or (None, "")
    if required:
        evidence = f"`require-dbt-version` in `{path}`" + (f", {evidence}" if evidence else "")
    return RequestedVersion(required, locked, evidence)


def ranges(value: object) -> Iterator[str]:
    """Yield the comparisons of a `require-dbt-version`. Anything else in it is left for dbt to report.

    >>> list(ranges(">=1.6.0, <2.0.0")), list(ranges([">=1.3", "{{ x }}"])), list(ranges("==1.7.1"))
    (['>=1.6.0', '<2.0.0'], ['>=1.3'], ['=1.7.1'])
    """
    for item in listed(value):
        for part in str(item).split(",") if isinstance(item, str | int | float) and not isinstance(item, bool) else ():
            match = _RANGE.fullmatch(part.strip())
            if match:
                yield f"{(match[1] or '').replace('==', '=')}{match[2]}"


def _locked(project_dir: str, texts: Mapping[str, bytes]) -> tuple[str, str] | None:
    """The version to which the nearest file pins dbt-core, or else an adapter: their minor versions correspond."""
    paths = [path for path in texts if is_requirements(path) or is_ci(path)]
    paths.sort(key=lambda path: (is_ci(path), distance(project_dir, path), not is_lock(path), path))
    nearest: tuple[str, str] | None = None
    for path in paths:
        for distribution, version in _pins(texts[path]):
            if distribution == _CORE:
                return version, f"`dbt-core` {version} in `{path}`"
            nearest = nearest or (version, f"`dbt-{distribution}` {version} in `{path}`")
    return nearest


def _pins(text: bytes) -> Iterator[tuple[str, str]]:
    plain = [*pieces(uncommented(text), MAX_ENTRY)]
    for pattern in _PINS:
        # A loop, not `chain`: other threads get their turn between pieces.
        for match in (found for piece in plain for found in pattern.finditer(piece)):
            name, version = match[1].strip("-"), match[2]
            if (name == _CORE or known_type(name)) and _is_one_minor(*match.groups()[1:]):
                yield name, version


def _is_one_minor(low: str, high: str | None = None) -> bool:
    """Whether a range allows one minor version only: `>=1.7.2,<1.8`."""
    if high is None:
        return True
    (major, minor), (above, above_minor) = ([int(part) for part in re.findall(r"\d+", text)[:2]] for text in (low, high))
    return major == above and above_minor - minor in {0, 1}
