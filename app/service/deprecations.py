"""Settings with a new name: the old one works for one release, with a warning in the log. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RenamedSetting:
    """A variable that has another name now."""

    old: str
    new: str
    gone_in: str
    """The first version without the old name, such as `0.3.0` for one that is renamed in 0.2.0. A test fails once it is reached."""


RENAMED: Sequence[RenamedSetting] = ()


@dataclass(frozen=True, slots=True)
class RenamedValues:
    """What old names give: values by new name, and a sentence for each in the log, or instead of the start."""

    values: Mapping[str, str]
    warnings: Sequence[str]
    complaints: Sequence[str]


def resolve(environment: Mapping[str, str], renamed: Sequence[RenamedSetting]) -> RenamedValues:
    """Look for old names."""
    values: dict[str, str] = {}
    warnings, complaints = list[str](), list[str]()
    for setting in renamed:
        if setting.old not in environment:
            continue
        if setting.new in environment:
            complaints.append(f"{setting.old}: {setting.new} is its new name, and set too. Unset {setting.old}.")
            continue
        values[setting.new] = environment[setting.old]
        warnings.append(f"{setting.old} is {setting.new} now: rename it. The old name stops working in {setting.gone_in}.")
    return RenamedValues(values, warnings, complaints)
