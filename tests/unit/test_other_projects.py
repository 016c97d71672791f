"""Other projects that a project names: which they are, who may use them, and which one a name means."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.core.models.github import Repository
from app.core.models.other_projects import OtherProject, PublicModel
from app.packages.private import PrivatePackages
from app.pipeline.other_projects import choose, without_duplicates
from app.project.other_projects import MAX_PROJECTS, named_projects
from app.store.other_projects import FoundProject

HERE = Repository(1, "acme/finance", 7, private=True)
PRIVATE = Repository(2, "acme/platform", 7, private=True)
PUBLIC = Repository(3, "acme/open", 7, private=False)


def found(repository: Repository, project_dir: str | None = None, lineage_id: int = 1) -> FoundProject:
    return FoundProject("platform", repository, project_dir, lineage_id, datetime(2026, 1, 1, tzinfo=UTC))


def test_projects_are_named_by_dependencies_and_by_dbt_loom() -> None:
    texts = {
        "t/dependencies.yml": b"projects:\n- name: platform\n- crm\npackages: []\n",
        "t/dbt_loom.config.yml": b"manifests:\n- {name: platform, type: file}\n- {name: hr, type: s3}\n",
        "dependencies.yml": b"projects: [{name: elsewhere}]",
    }
    assert named_projects("t", texts) == ("platform", "crm", "hr")


@pytest.mark.parametrize(
    "text",
    [
        b"projects: {name: {a: b}}",
        b"projects: [[x], 1, null, {name: 3}, {name: 'a b'}, {name: '../../etc'}, {name: ${SECRET}}, {name: ''}]",
        b"projects: &a [*a]",
        b"[projects]",
        b"\xff\x00",
        b"a: &a [x, x]\n"
        + b"".join(b"b%d: &b%d [%s]\n" % (n, n, b", ".join([b"*a" if n == 0 else b"*b%d" % (n - 1)] * 9)) for n in range(12)),
    ],
)
def test_hostile_lists_name_no_project(text: bytes) -> None:
    assert named_projects("", {"dependencies.yml": text, "dbt_loom.config.yml": text}) == ()


def test_no_more_projects_are_looked_up_than_the_limit() -> None:
    text = "projects:\n" + "".join(f"- name: p{number}\n" for number in range(10 * MAX_PROJECTS))
    assert len(
        named_projects("", {"dependencies.yml": text.encode(), "dbt_loom.config.yml": text.replace("projects", "manifests").encode()})
    ) == (MAX_PROJECTS)


def test_public_models_are_for_those_who_may_use_the_repository_as_a_package() -> None:
    default = PrivatePackages()
    assert default.allows_models(HERE, PRIVATE)
    assert default.allows_models(PUBLIC, HERE) is False, "everybody can read the lineage of a public repository"
    assert PrivatePackages(("none",)).allows_models(HERE, PRIVATE) is False
    assert PrivatePackages(("none",)).allows_models(HERE, PUBLIC)
    assert PrivatePackages(("acme/plat*",)).allows_models(PUBLIC, PRIVATE)


def test_strangers_refer_to_what_everybody_may_use_and_to_the_repository_that_they_wrote_for() -> None:
    stranger = HERE.as_public()
    assert PrivatePackages().allows_models(stranger, PRIVATE) is False
    assert PrivatePackages().allows_models(stranger, PUBLIC)
    assert PrivatePackages().allows_models(stranger, HERE), "who opens a pull request can read it"
    assert PrivatePackages(("acme/*",)).allows_models(stranger, PRIVATE)


def test_a_name_means_the_project_of_the_same_repository_or_else_the_only_one() -> None:
    assert choose(HERE, []) == ("unknown", None)
    assert choose(HERE, [found(PRIVATE)]) == ("available", found(PRIVATE))
    assert choose(HERE, [found(PRIVATE), found(PUBLIC)]) == ("ambiguous", None)
    assert choose(HERE, [found(PRIVATE), found(HERE, "platform")]) == ("available", found(HERE, "platform"))
    assert choose(HERE, [found(HERE, "a"), found(HERE, "b")]) == ("ambiguous", None)
    assert choose(HERE, [found(PRIVATE, "p", 1), found(PRIVATE, "p", 2)]) == ("available", found(PRIVATE, "p", 1)), "two branches of one"


def test_models_that_dbt_refuses_together_are_left_out() -> None:
    models = [
        PublicModel("p", "a"),
        PublicModel("p", "a", 1),
        PublicModel("p", "b", 1),
        PublicModel("p", "b", "1"),
        PublicModel("p", "b", 2),
    ]
    models += [PublicModel("p", "b")]
    assert [(one.name, one.version) for one in without_duplicates(models)] == [("a", None), ("b", 1), ("b", 2)]


def test_a_project_that_is_not_looked_up_has_no_models() -> None:
    assert OtherProject("platform").state == "not_asked"
