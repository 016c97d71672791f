"""Runner images: what each holds, what a project wishes, and which one fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.errors import NoImageError
from app.remarks import Remark

BUILDABLE = tuple((1, minor) for minor in range(5, 13))
"""The dbt minor versions that `Dockerfile.dbt` builds, the oldest first."""
ADAPTERS = frozenset(
    {
        *("athena", "bigquery", "clickhouse", "databricks", "duckdb", "fabric"),
        *("postgres", "redshift", "snowflake", "spark", "sqlserver", "trino"),
    }
)
"""The adapters that `Dockerfile.dbt` builds in."""
NOT_FOR = {"sqlserver": frozenset({(1, 5), (1, 6)})}
"""Minor versions for which an adapter has no release."""
_POSTGRES, _SPARK, _TSQL, _TRINO = ("postgres", "redshift"), ("databricks", "spark"), ("sqlserver", "fabric"), ("trino", "athena")
RELATIVES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("redshift", "materialize", "greenplum", "risingwave", "cratedb", "postgres", "vertica", "yellowbrick"), _POSTGRES),
    **dict.fromkeys(("databricks", "glue", "fabricspark", "spark", "hive", "impala"), _SPARK),
    **dict.fromkeys(("synapse", "fabric", "sqlserver"), _TSQL),
    **dict.fromkeys(("trino", "athena", "presto", "starburst"), _TRINO),
    "layer_bigquery": ("bigquery",),
}
"""The adapters whose macros and configs are the most like those of another, the most like first."""
LAST_RESORT = ("duckdb", "postgres")
_COMPARISON = re.compile(r"(>=|<=|==|!=|=|>|<)?\s*v?(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?(?:[-+a-zA-Z][0-9a-zA-Z.+-]*)?")
_NEWEST_PATCH = 9999
"""Stands for the patch release that a lock has, whichever that is."""

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class RunnerImage:
    """An image that the engine has and that holds our runner. `id` stays the same when the name is given to another build."""

    name: str
    id: str
    dbt_version: str
    adapters: frozenset[str]


@dataclass(frozen=True, slots=True)
class Wish:
    """The dbt version that a project asks for."""

    required: tuple[str, ...] = ()
    """Ranges that must hold, as `require-dbt-version` writes them (`>=1.6.0`, `<2.0.0`), or one version of `.github/freshet.yml`."""
    locked: str | None = None
    """A version that would be best: the one of a lock file."""
    evidence: str = ""
    """Where that stands: "`require-dbt-version` in `dbt_project.yml`"."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The image that a project is parsed in, and for which adapter."""

    image: RunnerImage
    adapter_type: str
    """The project's own, or the one that stands in for it because no image holds its own."""
    remarks: tuple[Remark, ...] = ()


def choose(available: Sequence[RunnerImage], wish: Wish, adapter_type: str, label: str) -> Choice:
    """Return the image that fits best; `available` has the default one first. Raises NoImageError.

    The version that is asked for must hold. Of the images that do: one with the adapter, then with the locked minor version or the nearest
    newer one, then the default one, then the newest.
    """
    fitting = [image for image in available if image.adapters and fits(image.dbt_version, wish.required)]
    if not fitting:
        raise _none_fits(available, wish, adapter_type, label)
    places = {id(image): place for place, image in enumerate(available)}

    def rank(image: RunnerImage) -> tuple[bool, tuple[bool, int], bool, int, int, int]:
        major, minor, patch = _number(image.dbt_version)
        is_default = image is available[0]
        return (
            adapter_type not in image.adapters,
            _distance(image, wish),
            not is_default,
            -(major * 1000 + minor),
            -patch,
            places[id(image)],
        )

    image = min(fitting, key=rank)
    if adapter_type in image.adapters:
        return Choice(image, adapter_type)
    other = stand_in(adapter_type, image.adapters)
    return Choice(image, other, (_stands_in(adapter_type, other, image, wish),))


def fits(version: str, required: Sequence[str]) -> bool:
    """Tell whether a version is within all ranges. A part that was left out may be any: `1.10` is every 1.10.x.

    What is no range is ignored: dbt itself complains about it.

    >>> fits("1.8.9", [">=1.8.3,<2.0.0"]), fits("1.10.2", ["1.10"]), fits("1.7.20", ["=1.7.0"]), fits("1.9.0", ["newest"])
    (True, True, False, True)
    """
    return all(_holds(_number(version), sign, bound) for sign, bound in _comparisons(required))


def stand_in(adapter_type: str, held: frozenset[str]) -> str:
    """Return which of the adapters that an image holds is the most like one that it does not.

    >>> stand_in("materialize", frozenset({"duckdb", "postgres"})), stand_in("oracle", frozenset({"duckdb", "postgres"}))
    ('postgres', 'duckdb')
    """
    wanted = (*RELATIVES.get(adapter_type, ()), *LAST_RESORT, *sorted(held))
    return next(adapter for adapter in wanted if adapter in held)


def build_command(version: str, adapter_type: str) -> str:
    """Return what an operator runs to build an image. An adapter that we cannot build gets its nearest relative.

    >>> build_command("1.7", "snowflake")
    'python -m app images build --dbt 1.7 --adapters snowflake'
    """
    there = frozenset(adapter for adapter in ADAPTERS if _minor(version) not in NOT_FOR.get(adapter, ()))
    adapter = adapter_type if adapter_type in there else stand_in(adapter_type, there)
    return f"python -m app images build --dbt {version} --adapters {adapter}"


def newest_first(image: RunnerImage) -> tuple[int, int, int, str]:
    """Sort by this: the newest dbt first, then by name."""
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


def _distance(image: RunnerImage, wish: Wish) -> tuple[bool, int]:
    """Return how far an image's minor version is from the locked one: whether it is older, and by how many."""
    if wish.locked is None or not _COMPARISON.fullmatch(wish.locked):
        return (False, 0)
    (major, minor, _), (locked_major, locked_minor, _) = _number(image.dbt_version), _number(wish.locked)
    away = (major - locked_major) * 1000 + minor - locked_minor
    return (away < 0, abs(away))


def _none_fits(available: Sequence[RunnerImage], wish: Wish, adapter_type: str, label: str) -> NoImageError:
    wanted = ", ".join(f"`{part}`" for part in wish.required) or "any version"
    asked = f"{wish.evidence} asks for dbt {wanted}" if wish.evidence else f"the project asks for dbt {wanted}"
    held = ", ".join(dict.fromkeys(image.dbt_version for image in available if image.adapters)) or "none"
    doing = f"choosing the runner image for {label}"
    return NoImageError(doing, f"{asked}, and the dbt versions of the runner images here are: {held}", _next_step(wish, adapter_type))


def _next_step(wish: Wish, adapter_type: str) -> str:
    version = _to_build(wish)
    if version is None:
        first, last = (".".join(map(str, minor)) for minor in (BUILDABLE[0], BUILDABLE[-1]))
        return (
            f"Runner images are built for dbt {first} to {last}, and none of these is allowed: change it there to allow one, "
            "or say `dbt_version` in `.github/freshet.yml`."
        )
    return f"Whoever runs Freshet builds one with `{build_command(version, adapter_type)}`; then re-run this check."


def _to_build(wish: Wish) -> str | None:
    """Return the version to build: the locked minor if it is allowed, else the newest that is; with a patch only where one is asked for."""
    locked = [_minor(wish.locked)] if wish.locked else []
    minors = [minor for minor in (*locked, *reversed(BUILDABLE)) if minor in BUILDABLE]
    for major, minor in minors:
        if fits(f"{major}.{minor}.{_NEWEST_PATCH}", wish.required):
            return f"{major}.{minor}"
    # A patch release that is named, or one beside it.
    named = [".".join(map(str, bound)) for _, bound in _comparisons(wish.required)]
    beside = sorted(((*_minor(text), max(0, _number(text)[2] + step)) for text in named for step in (-1, 0, 1)), reverse=True)
    texts = (".".join(map(str, version)) for version in beside if version[:2] in BUILDABLE)
    return next((text for text in texts if fits(text, wish.required)), None)


def _minor(version: str) -> tuple[int, int]:
    return _number(version)[:2]


def _stands_in(adapter_type: str, other: str, image: RunnerImage, wish: Wish) -> Remark:
    return Remark(
        "warning",
        f"Parsed for {other} instead of {adapter_type}",
        f"The project is for `{adapter_type}`. The runner image with dbt {image.dbt_version} does not hold that adapter, so the project "
        f"was parsed for `{other}`. The lineage may differ where macros or packages go by the adapter, and a macro that only "
        f"`{adapter_type}` has is missing. {_remedy(adapter_type, image, wish)}",
    )


def _remedy(adapter_type: str, image: RunnerImage, wish: Wish) -> str:
    own = ".".join(map(str, _minor(image.dbt_version)))
    version = (_to_build(wish) if wish.locked else None) or own
    if adapter_type not in ADAPTERS or _minor(version) in NOT_FOR.get(adapter_type, ()):
        return f"There is no runner image for `{adapter_type}`: `adapter` in `.github/freshet.yml` can choose another one to stand in."
    return f"To have it parsed for `{adapter_type}`, whoever runs Freshet builds an image with `{build_command(version, adapter_type)}`."
