"""Package lists, their expressions and rules, and the version that is chosen."""

from __future__ import annotations

from typing import Any

import pytest

from app.packages.package_lists import PackageList, PackageListReader
from app.packages.pins import PackageSet, UnusablePackageError, choose_version, parse_hub_package
from app.packages.specs import PackageSpec, SpecLocation
from app.packages.versions import parse_version
from app.project.expressions import ExpressionError, Values
from app.project.repository_settings import PackageRule

VALUES = Values({"TAG": "1.1.1", "TOKEN": "s3cret"}, {"version": "1.2.0", "number": 3})
READER = PackageListReader(VALUES, server_url="https://github.example")
SERVER = "https://github.example"


def read(text: str, name: str = "packages.yml", reader: PackageListReader = READER, **more: str) -> PackageList:
    return reader.read_project(
        {f"shop/{name}": text.encode(), **{f"shop/{key}.yml": value.encode() for key, value in more.items()}}, "shop"
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("package: dbt-labs/dbt_utils\n    version: 1.1.1", ("hub", "dbt-labs/dbt_utils", "1.1.1")),
        ('package: a/b\n    version: [">=1.0.0", "<2.0.0"]', ("hub", "a/b", ">=1.0.0 <2.0.0")),
        ("package: a/b\n    version: \"{{ env_var('TAG') }}\"", ("hub", "a/b", "1.1.1")),
        ("package: a/b\n    version: \"{{ var('version') }}\"", ("hub", "a/b", "1.2.0")),
        ("package: a/b\n    version: \"{{env_var('NONE', '>=' ~ 'x') if 0}}\"", None),
        ("package: a/b\n    version: \"{{ env_var('NONE','0.9.0') }}\"", ("hub", "a/b", "0.9.0")),
        ("package: a/b\n    version: \">={{ var('x', 1) }}.0.{{ var('number') }}\"", ("hub", "a/b", ">=1.0.3")),
        ("git: https://github.com/octo/x.git\n    revision: 1.0", ("git", "https://github.com/octo/x.git", "1.0")),
        ("git: https://{{ env_var('NOBODY') }}@github.com/octo/x.git", ("git", "https://github.com/octo/x.git", None)),
        ("git: \"https://{{env_var('TOKEN')}}:x@github.com/octo/x.git\"", ("git", "https://github.com/octo/x.git", None)),
        ("git: git@github.com:octo/x.git\n    revision: HEAD", ("git", "git@github.com:octo/x.git", None)),
        ("private: octo/x\n    provider: github", ("git", f"{SERVER}/octo/x.git", None)),
        ("local: ../shared", ("local", "../shared", None)),
        ("tarball: https://example.com/x.tar.gz\n    name: x", ("tarball", "https://example.com/x.tar.gz", None)),
        ("package: dbt_utils\n    version: 1.0.0", None),
        ("package: a/b", None),
        ("package: a/b\n    version: 1.0", None),
        ('package: a/b\n    version: ">=1.0.0,<2.0.0"', None),
        ("package: a/../../b\n    version: 1.0.0", None),
        ("private: octo/x\n    provider: ado", None),
        ("private: octo/x/y", None),
        ("tarball: https://example.com/x.tar.gz\n    name: ../x", None),
        ("git: https://github.com/octo/x\n    subdirectory: ../x", None),
        ("git: 3", None),
        ("name: x", None),
    ],
)
def test_entries_are_read_as_dbt_reads_them(entry: str, expected: tuple[str, str, str | None] | None) -> None:
    packages = read(f"# packages\npackages:\n  - {entry}\n")
    if expected is None:
        assert not packages.specs
        assert [(annotation.path, annotation.line) for annotation in packages.annotations] == [("shop/packages.yml", 3)]
    else:
        assert not packages.annotations
        (spec,) = packages.specs
        assert (spec.kind, spec.address, " ".join(map(str, spec.versions)) or spec.revision) == expected
        assert (spec.location.path, spec.location.line) == ("shop/packages.yml", 3)


def test_each_invalid_entry_has_an_annotation_at_its_line() -> None:
    packages = read("packages:\n  - package: a/b\n    version: x\n  - local: ../x\n  - {git: \"{{ oops() }}\"}\n  - 'text'\n")
    assert [annotation.line for annotation in packages.annotations] == [2, 5, 6]
    assert packages.annotations[0].title == "Package a/b is not valid"
    assert packages.annotations[0].message.startswith("Package `a/b` cannot be used (requested in `shop/packages.yml`, line 2): 'x' is not")
    assert "`{{ oops() }}` cannot be evaluated" in packages.annotations[1].message
    assert [spec.address for spec in packages.specs] == ["../x"]


def test_annotations_do_not_contain_credentials_of_addresses() -> None:
    packages = read("packages:\n  - git: \"https://{{ env_var('TOKEN') }}@github.com/octo/{{ oops }}\"\n")
    assert "s3cret" not in str(packages)
    assert "oops" in packages.annotations[0].message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ env_var('MISSING') }}", "under `env:`"),
        ("{{ var('missing') }}", "under `vars:`"),
        ("{{ env_var('TAG') | upper }}", "write the value itself"),
        ("{% if true %}x{% endif %}", "statements"),
        ("{{ env_var(name) }}", "write the value itself"),
    ],
)
def test_other_expressions_are_rejected(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        VALUES.evaluate(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("{{ var('number') }}", 3),
        ('a{{ env_var("TAG") }}b', "a1.1.1b"),
        ("{{- env_var('NONE', default='d') -}}", "d"),
        ("{{ var('none', none) }}", None),
        ("{# why #}x", "x"),
        (["{{ env_var('TAG') }}", 1.5], ["1.1.1", 1.5]),
    ],
)
def test_expressions_are_evaluated(text: object, value: object) -> None:
    assert VALUES.evaluate(text) == value


def test_packages_may_be_listed_in_one_file_only() -> None:
    both = read("packages: []\n", dependencies="packages:\n  - local: x\n")
    assert [annotation.title for annotation in both.annotations] == ["Packages are listed in two files"]
    mixed = read("packages:\n  - local: x\n", dependencies="projects:\n  - name: other\n")
    assert [spec.address for spec in mixed.specs] == ["x"]
    assert not mixed.annotations


def test_expressions_in_dependencies_yml_are_evaluated_for_packages_but_not_for_the_project() -> None:
    text = "packages:\n  - package: a/b\n    version: \"{{ env_var('TAG') }}\"\n"
    assert "use `packages.yml`" in read(text, "dependencies.yml").annotations[0].message
    inside = READER.read_project({"dependencies.yml": text.encode()}, "", SpecLocation("packages.yml", 9, "x"))
    assert str(inside.specs[0].versions[0]) == "1.1.1"
    assert inside.specs[0].location.line == 9


def test_invalid_yaml_has_an_annotation() -> None:
    (annotation,) = read("packages:\n  - package: a/b\n   version: [").annotations
    assert (annotation.path, annotation.line) == ("shop/packages.yml", 3)


RULES = (
    PackageRule("acme/tools", use="octo/tools"),
    PackageRule("https://github.com/other/secret", skip=True),
    PackageRule("octo/x", use="https://gitlab.com/octo/x.git"),
)


def test_rules_replace_or_skip_packages() -> None:
    text = (
        "packages:\n  - package: acme/tools\n    version: 1.0.0\n  - git: https://github.com/other/secret.git\n"
        "  - private: octo/x\n    revision: v1\n  - local: acme/tools\n"
    )
    packages = read(text, reader=PackageListReader(rules=RULES, server_url=SERVER))
    assert [(spec.kind, spec.address, spec.revision) for spec in packages.specs] == [
        ("git", f"{SERVER}/octo/tools.git", None),
        ("git", "https://gitlab.com/octo/x.git", "v1"),
        ("local", "acme/tools", None),
    ]
    assert packages.skipped == ("https://github.com/other/secret.git",)


PACKAGES = """packages:
  - package: dbt-labs/dbt_utils
    version: {version}
  - git: https://github.com/octo/tools.git
    revision: '1.0'
    warn-unpinned: false
  - local: ../shared
  - tarball: https://example.com/x.tar.gz
    name: x
  - private: octo/secret
"""


@pytest.mark.parametrize(
    ("version", "sha1"),
    [
        ('[">=1.0.0", "<2.0.0"]', "e5fd7fbda5d91dc481f714434260d9e192126f38"),
        ("\"{{ env_var('TAG') }}\"", None),
        ("\"{{ env_var('V') }}\"", "f511d167e4e6f2e54b90b077dbb3e30256c499c0"),
    ],
)
def test_a_lock_file_is_used_when_dbt_would_use_it(version: str, sha1: str | None) -> None:
    reader = PackageListReader(Values({"V": "1.1.1", "TAG": "1.1.1"}), server_url=SERVER)
    packages = read(PACKAGES.format(version=version), reader=reader)
    sha1_hash = sha1 or "f511d167e4e6f2e54b90b077dbb3e30256c499c0"
    text = f"packages:\n  - package: dbt-labs/dbt_utils\n    name: dbt_utils\n    version: 1.1.1\nsha1_hash: {sha1_hash}\n"
    locked = reader.read_lock(text.encode(), packages, "shop/package-lock.yml")
    if sha1 is None:
        assert locked is None
    else:
        assert locked is not None
        (spec,) = locked.specs
        assert (spec.address, str(spec.versions[0]), spec.location.path, spec.location.line) == (
            "dbt-labs/dbt_utils",
            "1.1.1",
            "shop/packages.yml",
            2,
        )


@pytest.mark.parametrize(
    ("bounds", "available", "expected"),
    [
        (["1.0.0"], ["1.0.0", "1.1.0"], "1.0.0"),
        ([">=1.0.0", "<2.0.0"], ["0.9.0", "1.0.0", "1.10.0", "1.9.0", "2.0.0"], "1.10.0"),
        (["<2.0.0"], ["1.9.0", "2.0.0-rc1"], "1.9.0"),
        ([">1.0.0"], ["1.0.0", "1.0.1"], "1.0.1"),
        ([">=1.0.0"], ["1.0.0", "1.1.0-rc1"], "1.0.0"),
        ([">=1.0.0-a1"], ["1.0.0", "1.1.0-rc.2", "1.1.0-rc.10"], "1.1.0-rc.10"),
        ([">=1.0.0", "1.2.0", "<=1.2.0"], ["1.2.0", "1.3.0"], "1.2.0"),
        (["1.0.0", "1.1.0"], ["1.0.0", "1.1.0"], "conflicting version requirements"),
        ([">=2.0.0", "<1.0.0"], ["1.0.0"], "conflicting version requirements"),
        ([">=3.0.0"], ["1.0.0", "2.0.0"], "Newest versions: 2.0.0, 1.0.0."),
        ([">=0.5.0"], ["0.9.0-rc1"], "has only pre-releases"),
    ],
)
def test_the_highest_version_that_meets_all_requirements_is_chosen(bounds: list[str], available: list[str], expected: str) -> None:
    assert expected in chosen(bounds, {version: [] for version in available})


def test_versions_for_another_dbt_are_skipped() -> None:
    requires: dict[str, Any] = {"1.0.0": [">=1.0.0", "<2.0.0"], "1.1.0": ">=1.12.0", "1.2.0": ["nonsense"]}
    assert chosen([">=1.0.0"], requires) == "1.0.0"
    assert "1.1.0 requires dbt >=1.12.0" in chosen([">=1.1.0", "<1.2.0"], requires)


def chosen(bounds: list[str], requires: dict[str, Any]) -> str:
    """The version that is chosen for one request per bound, or the error."""
    packages = PackageSet()
    for text in bounds:
        requested = packages.add(PackageSpec("hub", "a/b", SpecLocation("packages.yml"), (parse_version(text),)))
    facts = {version: {"name": "b", "downloads": {"tarball": "u"}, "require_dbt_version": needs} for version, needs in requires.items()}
    try:
        return choose_version(requested, parse_hub_package("a/b", {"versions": facts}), "1.11.16").version.text
    except UnusablePackageError as error:
        return str(error)


def test_different_revisions_of_one_repository_are_rejected_with_their_requesters() -> None:
    packages = PackageSet()
    packages.add(PackageSpec("git", "https://x/a.git", SpecLocation("packages.yml"), revision="1.0"))
    packages.add(PackageSpec("git", "https://x/a", SpecLocation("packages.yml", 2, "b/c"), revision=None))
    requested = packages.add(PackageSpec("git", "https://x/a", SpecLocation("packages.yml", 2, "d/e 1.0.0"), revision="2.0"))
    assert len(packages) == 1
    with pytest.raises(UnusablePackageError, match=r"`1.0` by `packages.yml`, `2.0` by the package d/e 1.0.0"):
        requested.revision()


@pytest.mark.parametrize("text", ["1", "1.0", "01.0.0", "v1.0.0", "==1.0.0", "~1.0.0", "1.0.0 ", "^1.0.0", "", "1.0.x", "1" * 200])
def test_versions_that_dbt_rejects_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        parse_version(text)


def test_many_braces_in_an_address_are_parsed_quickly() -> None:
    text = "packages:\n" + "".join(f"  - git: 'https://{'{{}}' * 100}{number}'\n" for number in range(50))
    assert len(read(text).annotations) == 50
