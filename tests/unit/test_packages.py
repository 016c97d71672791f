"""What projects write about packages, and which version that means."""

from __future__ import annotations

from typing import Any

import pytest

from app.deps import ranges
from app.deps.expressions import ExpressionError, Values
from app.deps.packages import Asked, Place, Reader, Spec
from app.deps.pins import Listing, UnobtainableError, choose, read_hub
from app.settings import PackageRule

VALUES = Values({"TAG": "1.1.1", "TOKEN": "s3cret"}, {"version": "1.2.0", "number": 3})
READER = Reader(VALUES, server_url="https://github.example")
SERVER = "https://github.example"


def read(text: str, name: str = "packages.yml", reader: Reader = READER, **more: str) -> Asked:
    return reader.project({f"shop/{name}": text.encode(), **{f"shop/{key}.yml": value.encode() for key, value in more.items()}}, "shop")


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
    asked = read(f"# packages\npackages:\n  - {entry}\n")
    if expected is None:
        assert not asked.specs
        assert [(remark.path, remark.line) for remark in asked.remarks] == [("shop/packages.yml", 3)]
    else:
        assert not asked.remarks
        (spec,) = asked.specs
        assert (spec.kind, spec.address, " ".join(map(str, spec.versions)) or spec.revision) == expected
        assert (spec.place.path, spec.place.line) == ("shop/packages.yml", 3)


def test_every_entry_that_cannot_be_read_is_named_with_its_line() -> None:
    asked = read("packages:\n  - package: a/b\n    version: x\n  - local: ../x\n  - {git: \"{{ oops() }}\"}\n  - 'text'\n")
    assert [remark.line for remark in asked.remarks] == [2, 5, 6]
    assert "`{{ oops() }}` cannot be evaluated" in asked.remarks[1].message
    assert [spec.address for spec in asked.specs] == ["../x"]


def test_secrets_of_an_address_are_not_repeated() -> None:
    asked = read("packages:\n  - git: \"https://{{ env_var('TOKEN') }}@github.com/octo/{{ oops }}\"\n")
    assert "s3cret" not in str(asked)
    assert "oops" in asked.remarks[0].message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ env_var('MISSING') }}", "under `env:`"),
        ("{{ var('missing') }}", "under `vars:`"),
        ("{{ env_var('TAG') | upper }}", "write the value out"),
        ("{% if true %}x{% endif %}", "statements"),
        ("{{ env_var(name) }}", "write the value out"),
    ],
)
def test_other_expressions_are_refused(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        VALUES.of(text)


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
def test_expressions_have_their_values(text: object, value: object) -> None:
    assert VALUES.of(text) == value


def test_packages_stand_in_one_file_only() -> None:
    both = read("packages: []\n", dependencies="packages:\n  - local: x\n")
    assert [remark.title for remark in both.remarks] == ["Packages are asked for in two files"]
    mixed = read("packages:\n  - local: x\n", dependencies="projects:\n  - name: other\n")
    assert [spec.address for spec in mixed.specs] == ["x"]
    assert not mixed.remarks


def test_dependencies_have_no_expressions_in_the_project_itself() -> None:
    text = "packages:\n  - package: a/b\n    version: \"{{ env_var('TAG') }}\"\n"
    assert "use `packages.yml`" in read(text, "dependencies.yml").remarks[0].message
    inside = READER.project({"dependencies.yml": text.encode()}, "", Place("the package x", "packages.yml", 9))
    assert str(inside.specs[0].versions[0]) == "1.1.1"
    assert inside.specs[0].place.line == 9


def test_a_file_that_is_no_yaml_is_named() -> None:
    (remark,) = read("packages:\n  - package: a/b\n   version: [").remarks
    assert (remark.path, remark.line) == ("shop/packages.yml", 3)


RULES = (
    PackageRule("acme/tools", use="octo/tools"),
    PackageRule("https://github.com/other/secret", skip=True),
    PackageRule("octo/x", use="https://gitlab.com/octo/x.git"),
)


def test_rules_give_another_address_or_leave_out() -> None:
    text = (
        "packages:\n  - package: acme/tools\n    version: 1.0.0\n  - git: https://github.com/other/secret.git\n"
        "  - private: octo/x\n    revision: v1\n  - local: acme/tools\n"
    )
    asked = read(text, reader=Reader(rules=RULES, server_url=SERVER))
    assert [(spec.kind, spec.address, spec.revision) for spec in asked.specs] == [
        ("git", f"{SERVER}/octo/tools.git", None),
        ("git", "https://gitlab.com/octo/x.git", "v1"),
        ("local", "acme/tools", None),
    ]
    assert asked.skipped == ("https://github.com/other/secret.git",)


LISTED = """packages:
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
def test_a_lock_file_holds_when_dbt_says_so(version: str, sha1: str | None) -> None:
    reader = Reader(Values({"V": "1.1.1", "TAG": "1.1.1"}), server_url=SERVER)
    asked = read(LISTED.format(version=version), reader=reader)
    told = sha1 or "f511d167e4e6f2e54b90b077dbb3e30256c499c0"
    text = f"packages:\n  - package: dbt-labs/dbt_utils\n    name: dbt_utils\n    version: 1.1.1\nsha1_hash: {told}\n"
    locked = reader.lock(text.encode(), asked, "shop/package-lock.yml")
    if sha1 is None:
        assert locked is None
    else:
        assert locked is not None
        (spec,) = locked.specs
        assert (spec.address, str(spec.versions[0]), spec.place.path, spec.place.line) == (
            "dbt-labs/dbt_utils",
            "1.1.1",
            "shop/packages.yml",
            2,
        )


@pytest.mark.parametrize(
    ("asked", "available", "chosen"),
    [
        (["1.0.0"], ["1.0.0", "1.1.0"], "1.0.0"),
        ([">=1.0.0", "<2.0.0"], ["0.9.0", "1.0.0", "1.10.0", "1.9.0", "2.0.0"], "1.10.0"),
        (["<2.0.0"], ["1.9.0", "2.0.0-rc1"], "1.9.0"),
        ([">1.0.0"], ["1.0.0", "1.0.1"], "1.0.1"),
        ([">=1.0.0"], ["1.0.0", "1.1.0-rc1"], "1.0.0"),
        ([">=1.0.0-a1"], ["1.0.0", "1.1.0-rc.2", "1.1.0-rc.10"], "1.1.0-rc.10"),
        ([">=1.0.0", "1.2.0", "<=1.2.0"], ["1.2.0", "1.3.0"], "1.2.0"),
        (["1.0.0", "1.1.0"], ["1.0.0", "1.1.0"], "No version is allowed by all"),
        ([">=2.0.0", "<1.0.0"], ["1.0.0"], "No version is allowed by all"),
        ([">=3.0.0"], ["1.0.0", "2.0.0"], "the newest there are: 2.0.0, 1.0.0"),
        ([">=0.5.0"], ["0.9.0-rc1"], "Only pre-releases fit"),
    ],
)
def test_the_highest_version_that_all_allow_is_chosen(asked: list[str], available: list[str], chosen: str) -> None:
    assert picked(asked, {version: [] for version in available}) == chosen or chosen in picked(
        asked, {version: [] for version in available}
    )


def test_versions_for_another_dbt_are_passed_over() -> None:
    requires: dict[str, Any] = {"1.0.0": [">=1.0.0", "<2.0.0"], "1.1.0": ">=1.12.0", "1.2.0": ["nonsense"]}
    assert picked([">=1.0.0"], requires) == "1.0.0"
    assert "none is for dbt 1.11.16: 1.1.0 wants >=1.12.0" in picked([">=1.1.0", "<1.2.0"], requires)


def picked(asked: list[str], requires: dict[str, Any]) -> str:
    """Return the version that is chosen when each asks for one end, or why there is none."""
    listing = Listing()
    for text in asked:
        wanted = listing.add(Spec("hub", "a/b", Place(f"`{text}`'s asker"), (ranges.parse(text),)))
    facts = {version: {"name": "b", "downloads": {"tarball": "u"}, "require_dbt_version": needs} for version, needs in requires.items()}
    try:
        return choose(wanted, read_hub("a/b", {"versions": facts}), "1.11.16").version.text
    except UnobtainableError as error:
        return error.reason


def test_two_revisions_of_one_repository_are_told_apart_by_who_asks() -> None:
    listing = Listing()
    listing.add(Spec("git", "https://x/a.git", Place("`packages.yml`"), revision="1.0"))
    listing.add(Spec("git", "https://x/a", Place("b/c"), revision=None))
    wanted = listing.add(Spec("git", "https://x/a", Place("the package d/e 1.0.0"), revision="2.0"))
    assert len(listing) == 1
    with pytest.raises(UnobtainableError, match=r"`1.0` \(`packages.yml`\), `2.0` \(the package d/e 1.0.0\)"):
        wanted.revision()


@pytest.mark.parametrize("text", ["1", "1.0", "01.0.0", "v1.0.0", "==1.0.0", "~1.0.0", "1.0.0 ", "^1.0.0", "", "1.0.x", "1" * 200])
def test_what_dbt_takes_for_no_version_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        ranges.parse(text)


def test_an_address_made_to_keep_us_busy_does_not() -> None:
    text = "packages:\n" + "".join(f"  - git: 'https://{'{{}}' * 100}{number}'\n" for number in range(50))
    assert len(read(text).remarks) == 50
