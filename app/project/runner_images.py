"""Which runner image fits a project, and what to tell its owners if none does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from app.core.errors import FreshetError, NoImageError, UnsupportedVersionError
from app.core.models.annotations import Annotation
from app.project.adapters import BY_TYPE, LAST_RESORT, in_images_for
from app.project.repository_settings import PATH

BUILDABLE = tuple((1, minor) for minor in range(5, 13))
"""The dbt minor versions that `Dockerfile.dbt` builds, the oldest first."""
_COMPARISON = re.compile(r"(>=|<=|==|!=|=|>|<)?\s*v?(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?(?:[-+a-zA-Z][0-9a-zA-Z.+-]*)?")
_NEWEST_PATCH = 9999
"""Stands for any patch release of a minor version."""

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class RunnerImage:
    """An image of the engine with our runner in it. A name may move to another build; an `id` is one build."""

    name: str
    id: str
    dbt_version: str
    adapters: frozenset[str]
    size_bytes: int | None = field(default=None, compare=False)
    """On the engine's disk; None if the engine does not report it."""
    gives_columns: bool = field(default=False, compare=False)
    """Whether its containers can read columns from SQL: those of earlier releases cannot."""


@dataclass(frozen=True, slots=True)
class RequestedVersion:
    """The dbt version that a project asks for."""

    required: tuple[str, ...] = ()
    """Ranges that must all hold: those of `require-dbt-version` (`>=1.6.0`, `<2.0.0`), or the version in `.github/freshet.yml`."""
    locked: str | None = None
    """The preferred version: the one that a file pins."""
    evidence: str = ""
    """Where it was found: "`require-dbt-version` in `dbt_project.yml`"."""


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """The image in which a project is parsed, and the adapter for which it is."""

    image: RunnerImage
    adapter_type: str
    """The project's own, or a stand-in because no fitting image has it."""
    remarks: tuple[Annotation, ...] = ()


def choose_image(available: Sequence[RunnerImage], requested: RequestedVersion, adapter_type: str, label: str) -> ImageChoice:
    """Return the image that fits best; `available` starts with the default one. Raises NoImageError if none has a required version.

    Preferred are images with the adapter, then with the pinned minor version or the nearest newer one, then the default, then the newest.
    """
    fitting = [image for image in available if image.adapters and fits(image.dbt_version, requested.required)]
    if not fitting:
        raise _no_image(available, requested, adapter_type, label)
    places = {id(image): place for place, image in enumerate(available)}

    def rank(image: RunnerImage) -> tuple[bool, tuple[bool, int], bool, int, int, int]:
        major, minor, patch = _number(image.dbt_version)
        is_default = image is available[0]
        return (
            adapter_type not in image.adapters,
            _distance(image, requested),
            not is_default,
            -(major * 1000 + minor),
            -patch,
            places[id(image)],
        )

    image = min(fitting, key=rank)
    if adapter_type in image.adapters:
        return ImageChoice(image, adapter_type)
    other = stand_in(adapter_type, image.adapters)
    return ImageChoice(image, other, (_stand_in_remark(adapter_type, other, image, requested),))


def fits(version: str, required: Sequence[str]) -> bool:
    """Whether a version is within all ranges. `1.10` allows every 1.10.x. Anything that is not a range is left for dbt to report.

    >>> fits("1.8.9", [">=1.8.3,<2.0.0"]), fits("1.10.2", ["1.10"]), fits("1.7.20", ["=1.7.0"]), fits("1.9.0", ["newest"])
    (True, True, False, True)
    """
    return all(_holds(_number(version), sign, bound) for sign, bound in _comparisons(required))


def stand_in(adapter_type: str, available: frozenset[str]) -> str:
    """Return the available adapter that is most like the given one.

    >>> stand_in("materialize", frozenset({"duckdb", "postgres"})), stand_in("oracle", frozenset({"duckdb", "postgres"}))
    ('postgres', 'duckdb')
    """
    known = BY_TYPE.get(adapter_type)
    preferred = (*(known.similar if known else ()), *LAST_RESORT, *sorted(available))
    return next(adapter for adapter in preferred if adapter in available)


def newest_buildable(required: Sequence[str]) -> str | None:
    """Return the newest minor version within all ranges for which a runner image can be built.

    >>> newest_buildable([">=1.3.0", "<1.8.0"]), newest_buildable(["<1.0.0"])
    ('1.7', None)
    """
    found = (f"{major}.{minor}" for major, minor in reversed(BUILDABLE) if fits(f"{major}.{minor}.{_NEWEST_PATCH}", required))
    return next(found, None)


def build_command(version: str, adapter_type: str) -> str:
    """Return the command that builds an image with an adapter, or with its stand-in if that cannot be built.

    >>> build_command("1.7", "snowflake")
    'python -m app images build --dbt 1.7 --adapters snowflake'
    """
    buildable = in_images_for(_minor(version))
    adapter = adapter_type if adapter_type in buildable else stand_in(adapter_type, buildable)
    return f"python -m app images build --dbt {version} --adapters {adapter}"


def newest_first(image: RunnerImage) -> tuple[int, int, int, str]:
    """Sort key: the newest dbt first, then by name."""
    major, minor, patch = _number(image.dbt_version)
    return (-major, -minor, -patch, image.name)


def _comparisons(required: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ",".join(required).strip("[]").split(","):
        if found := _COMPARISON.fullmatch(part.strip(" '\"")):
            bound = tuple(int(number) for number in found.group(2, 3, 4) if number is not None)
            yield (found[1] or "=").replace("==", "="), bound


def _holds(version: Version, sign: str, bound: tuple[int, ...]) -> bool:
    same = version[: len(bound)]
    return {
        "=": same == bound,
        "!=": same != bound,
        ">=": same >= bound,
        "<=": same <= bound,
        ">": same > bound,
        "<": same < bound,
    }[sign]


def _number(version: str) -> Version:
    found = _COMPARISON.fullmatch(version.strip())
    return (int(found[2]), int(found[3] or 0), int(found[4] or 0)) if found else (0, 0, 0)


def _distance(image: RunnerImage, requested: RequestedVersion) -> tuple[bool, int]:
    """How far an image's minor version is from the locked one: whether it is older, and by how many."""
    if requested.locked is None or not _COMPARISON.fullmatch(requested.locked):
        return (False, 0)
    (major, minor, _), (locked_major, locked_minor, _) = _number(image.dbt_version), _number(requested.locked)
    away = (major - locked_major) * 1000 + minor - locked_minor
    return (away < 0, abs(away))


def _no_image(available: Sequence[RunnerImage], requested: RequestedVersion, adapter_type: str, label: str) -> FreshetError:
    ranges = ", ".join(f"`{part}`" for part in requested.required) or "any version"
    versions = ", ".join(dict.fromkeys(image.dbt_version for image in available if image.adapters)) or "none"
    doing = f"choosing the runner image for {label}"
    reason = f"{requested.evidence or 'the project'} asks for dbt {ranges}, which no runner image has (available: {versions})"
    version = _version_to_build(requested)
    if version is None:
        return UnsupportedVersionError(doing, reason, _change_step(requested, available))
    return NoImageError(doing, reason, _build_step(version, adapter_type))


def _change_step(requested: RequestedVersion, available: Sequence[RunnerImage]) -> str:
    """For a version that no image can have: what to write instead, and where."""
    first, last = (".".join(map(str, minor)) for minor in (BUILDABLE[0], BUILDABLE[-1]))
    usable = next((".".join(map(str, _minor(image.dbt_version))) for image in available if image.adapters), last)
    setting = f'`dbt_version: "{usable}"`'
    if PATH in requested.evidence:
        return f"Freshet supports dbt {first} to {last}. Set another version there, such as {setting}, or remove the setting."
    return f"Freshet supports dbt {first} to {last}. Allow one of them there, or set {setting} in `{PATH}` to parse with that all the same."


def _build_step(version: str, adapter_type: str) -> str:
    return f"The operator of this Freshet can build one with `{build_command(version, adapter_type)}`. Then re-run this check."


def _version_to_build(requested: RequestedVersion) -> str | None:
    """The locked minor version if it is allowed, or else the newest that is. A patch is part of it only if the ranges need one."""
    locked = [_minor(requested.locked)] if requested.locked else []
    minors = [minor for minor in (*locked, *reversed(BUILDABLE)) if minor in BUILDABLE]
    for major, minor in minors:
        if fits(f"{major}.{minor}.{_NEWEST_PATCH}", requested.required):
            return f"{major}.{minor}"
    # A patch release that the ranges name, or the one before or after it.
    named = [".".join(map(str, bound)) for _, bound in _comparisons(requested.required)]
    patches = sorted(((*_minor(text), max(0, _number(text)[2] + step)) for text in named for step in (-1, 0, 1)), reverse=True)
    texts = (".".join(map(str, version)) for version in patches if version[:2] in BUILDABLE)
    return next((text for text in texts if fits(text, requested.required)), None)


def _minor(version: str) -> tuple[int, int]:
    return _number(version)[:2]


def _stand_in_remark(adapter_type: str, other: str, image: RunnerImage, requested: RequestedVersion) -> Annotation:
    return Annotation(
        "warning",
        f"Parsed for {other} instead of {adapter_type}",
        f"The project is for `{adapter_type}`, but the runner image with dbt {image.dbt_version} does not have that adapter, so the "
        f"project was parsed for `{other}`. The lineage may differ where macros or packages depend on the adapter, and macros that only "
        f"`{adapter_type}` has are missing. {_remedy(adapter_type, image, requested)}",
    )


def _remedy(adapter_type: str, image: RunnerImage, requested: RequestedVersion) -> str:
    own = ".".join(map(str, _minor(image.dbt_version)))
    version = (_version_to_build(requested) if requested.locked else None) or own
    if adapter_type not in in_images_for(_minor(version)):
        return f"Runner images cannot have `{adapter_type}`. To choose another stand-in, set `adapter` in `.github/freshet.yml`."
    return f"To parse for `{adapter_type}`, the operator of this Freshet can build an image with `{build_command(version, adapter_type)}`."
