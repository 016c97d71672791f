"""What strangers write is read in a time that grows with its size, through the functions that read it, at the largest size they take.

`test_patterns` looks at each expression alone; this looks at what is built of them, and at loops. Each case would take minutes or more if
something in it took the square of the size.
"""

from __future__ import annotations

import io
import signal
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from _pytest.mark import ParameterSet

from app.packages.fetch.tarball import PackageLimits, PathSet, TarReader
from app.packages.package_lists import PackageListReader
from app.packages.pins import PackageSet
from app.packages.specs import PackageSpec, SpecLocation
from app.project import adapter_choice, adapter_evidence, dbt_version, discovery, repository_settings
from app.project.adapter_choice import AdapterChoice
from app.project.discovery import DiscoveredProjects
from app.project.expressions import MAX_LENGTH
from app.project.layout import MAX_CODE_BYTES, MAX_CONFIG_BYTES, MAX_EVIDENCE_BYTES, MAX_LOCK_BYTES, ProjectLayout
from app.project.read_files import MAX_FILES, Member
from app.project.repository_settings import PackageRule, ProjectSettings, RepositorySettings
from app.project.runner_images import RequestedVersion
from app.reports import code_html, locations, markdown_html, redaction

pytestmark = pytest.mark.growth
PATIENCE_S = 60.0
"""Of processor time. The longest case takes one second, or ten while coverage is measured; a quadratic loop would take many minutes."""
MAX_OUTPUT = 128 << 10
"""Of dbt's message: `MAX_ERROR` of the program in the image."""
MAX_LOG = redaction.MAX_BYTES - 2 * redaction.GAP_BYTES
"""The longest line that is not left out as the middle of a log."""
Read = Callable[[], object]
Case = ParameterSet


@contextmanager
def patience() -> Iterator[None]:
    """End the test when it has used too much processor time: `re` and loops see the signal."""

    def end(*_: object) -> None:
        pytest.fail(f"more than {PATIENCE_S:g} seconds of processor time")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def filled(turn: str, size: int, before: str = "", after: str = "") -> str:
    return before + turn * ((size - len(before + after)) // len(turn)) + after


def case(kind: str, text: str, read: Read) -> Case:
    shown = text if len(text) < 60 else f"{text[:30]}…{text[-10:]}"
    return pytest.param(read, id=f"{kind} {shown.encode('unicode_escape').decode()}")


def infer(name: str, text: str) -> Case:
    texts = {name: text.encode()}
    return case(name, text, lambda: adapter_choice.infer("", "shop", texts, ProjectSettings()))


def version(name: str, text: str) -> Case:
    return case(name, text, lambda: dbt_version.requested_version("", {name: text.encode()}, ProjectSettings()))


def redact(text: str) -> Case:
    return case("log", text, lambda: redaction.redact_log(text))


def redact_code(text: str) -> Case:
    return case("SQL", text, lambda: redaction.redact_code(text))


def describe(turn: str) -> Case:
    text = filled(turn, markdown_html.MAX_MARKDOWN_BYTES)
    return case("description", text, lambda: markdown_html.render(text))


def color(turn: str, language: str) -> Case:
    text = filled(turn, code_html.MAX_COLORED)
    return case(language, text, lambda: code_html.render(text, language, lambda _: "/x"))


def locate(text: str, paths: int = 1) -> Case:
    return case("message", text, lambda: locations.explain(text, layout(paths)))


def settings(text: str) -> Case:
    return case("freshet.yml", text, lambda: repository_settings.read(text.encode()).includes_branch("a" * 255))


def packages(address: str) -> Case:
    texts = {"packages.yml": f"packages: [{{git: '{address}'}}]".encode()}
    return case("packages.yml", address, lambda: PackageListReader().read_project(texts, ""))


def layout(paths: int) -> ProjectLayout:
    members = tuple(Member(f"models/d{number}/schema.yml", "0" * 40, 1) for number in range(paths))
    return ProjectLayout(
        project_dir="",
        project_name="shop",
        profile="shop",
        adapter=AdapterChoice("duckdb", "dev", "the default"),
        dbt=RequestedVersion(),
        settings=RepositorySettings(),
        discovered=DiscoveredProjects(("",), (), paths),
        needs_packages=False,
        install_dir="dbt_packages",
        package_texts={},
        members=members,
    )


@pytest.mark.parametrize(
    "read",
    [
        *(
            infer("models/m.sql", filled(" ", MAX_CODE_BYTES, before))
            for before in ("select top", "cluster_by=", "partition_by:", "table(")
        ),
        *(infer("models/m.sql", filled(turn, MAX_CODE_BYTES)) for turn in ("config (", "properties={", "select ", "\n", "cluster_by=[")),
        infer("profiles.yml", filled("\n", MAX_EVIDENCE_BYTES, after="x: [")),
        infer("profiles.yml", filled("a: {{\n", MAX_EVIDENCE_BYTES, after="x: [")),
        infer("profiles.yml", filled("{%", MAX_EVIDENCE_BYTES, after="\nx: [")),
        infer("requirements.txt", filled("dbt-", MAX_EVIDENCE_BYTES)),
        infer(".gitlab-ci.yml", filled("type:", MAX_EVIDENCE_BYTES)),
        *(version("requirements.txt", filled(turn, MAX_EVIDENCE_BYTES)) for turn in ("dbt--[", "dbt-core", "\n", " #", "dbt-a>=1.1,")),
        *(version("pyproject.toml", filled(turn, MAX_EVIDENCE_BYTES)) for turn in ("dbt-a={version=", "version", "\n-", "name = \n")),
        *(version("poetry.lock", filled(turn, MAX_LOCK_BYTES)) for turn in ('"dbt-d":{', "9")),
        version("dbt_project.yml", filled("9.", MAX_CONFIG_BYTES, "require-dbt-version: ")),
        *(
            redact(filled(turn, MAX_LOG))
            for turn in ("eyJ", "eyJaaaaaaaa.", "-----BEGIN KEY-----\n", "-----BEGIN KEY----- ", "--pwd", "pwd.", 'pwd="\\', "pwd=", "://")
        ),
        *(
            redact_code(filled(turn, MAX_LOG))
            for turn in (
                "eyJ",
                "eyJaaaaaaaa.",
                "-----BEGIN KEY-----\n",
                "-----BEGIN KEY----- ",
                "://",
                "pwd\n",
                "bearer ",
                "ghp_",
                "a://b@",
            )
        ),
        *(redact(filled(turn, MAX_LOG)) for turn in ("a", "\n", "A+/=", "bearer ", "authorization: ", "\x1b[", "\u202e", "'")),
        *(
            locate(filled(turn, MAX_OUTPUT))
            for turn in ("\n", "(/", "(//", "FilePath(searched_path='', relative_path='", "line ", "a/b.sql ")
        ),
        *(
            locate(filled(turn, MAX_OUTPUT))
            for turn in ("depends on a node named ", "dbt found two  ", "Contents of file ", "\n> ", "x://a.sql ")
        ),
        *map(
            describe,
            ("[", "![", "*a_ ", "`a``", "> ", "- ", "a|b\n", "|\n|-\n", "[a](<", "[a]: b\n", "&#", "<a@", "https://a.", "<http://é"),
        ),
        *(color(turn, "sql") for turn in ("'", '"', "{{'", "{{ref('a',", "--{{", "/*{#", "{%{", "\\'", "ref(  ", "a1 ")),
        *(color(turn, "python") for turn in ("'\\", '"', "ref('a',", "#\n")),
        locate(filled("x/schema.yml ", MAX_OUTPUT), MAX_FILES),
        locate(filled("Compilation Error\n  x/schema.yml y/schema.yml\n", MAX_OUTPUT), MAX_FILES),
        settings(filled("0.0, ", repository_settings.MAX_BYTES, "dbt_version: '", "x'")),
        settings(filled("*a", repository_settings.MAX_BYTES, "branches: ['", "b']")),
        settings(filled("0.0, ", 2_000, "dbt_version: '", "x'")),
        settings("branches:\n" + "\n".join(f"- '{'*a' * 99}{number}'" for number in range(280))),
        *(packages(filled(turn, MAX_LENGTH)) for turn in ("{{", "{#", "{%", "https://", "{{ a }}", "}}")),
        packages(filled(" ", MAX_LENGTH, '{{ env_var("a", "b"', "x }}")),
    ],
)
def test_no_text_takes_long(read: Read) -> None:
    with patience():
        read()


def test_no_name_takes_long() -> None:
    names = [
        filled(turn, 4096, before) + end
        for turn in ("requirements.", "_", "a.", "dockerfile.")
        for before in ("", "a.")
        for end in ("", "\n")
    ]
    with patience():
        for name in names * 10:
            adapter_evidence.evidence_rank(name + ".txt")
            adapter_evidence.is_requirements(name)
            adapter_evidence.is_ci(name)
            discovery.find_projects([f"{name}/dbt_project.yml"], {}, RepositorySettings())


@pytest.mark.parametrize("turn", ["{{", " ", "{{ var", "name:\n"])
def test_no_projects_name_takes_long(turn: str) -> None:
    text = filled(turn, MAX_CONFIG_BYTES, "name: ").encode()
    with patience():
        discovery.find_projects(["a/dbt_project.yml"], {"a/dbt_project.yml": text}, RepositorySettings())


def test_many_ignored_directories_and_many_projects_do_not_multiply() -> None:
    settings = RepositorySettings(ignored=frozenset(f"no/{number}" for number in range(2_500)))
    paths = [f"no/{number}/dbt_project.yml" for number in range(20_000)]
    with patience():
        found = discovery.find_projects(paths, {}, settings)
    assert len(found.projects) == discovery.MAX_PROJECTS


def test_many_examples_are_not_compared_with_each_other() -> None:
    paths = [f"examples/x{number}/dbt_project.yml" for number in range(20_000)]
    with patience():
        assert not discovery.find_projects(paths, {}, RepositorySettings()).projects


def test_many_profiles_are_not_compared_with_each_other() -> None:
    profiles = "".join(f"p{number}: {{outputs: {{dev: {{type: trino}}}}}}\n" for number in range(6_000)).encode()
    with patience():
        assert adapter_choice.infer("", "shop", {"profiles.yml": profiles}, ProjectSettings()).adapter_type == "trino"


def test_many_requests_for_one_package_are_not_compared_with_each_other() -> None:
    requests = [PackageSpec("git", "https://a.example/b.git", SpecLocation("packages.yml", line)) for line in range(20_000)]
    packages = PackageSet()
    with patience():
        for spec in requests * 2:
            packages.add(spec)
    assert (len(packages), packages.requests) == (1, 20_000)


def test_many_rules_are_not_compared_with_each_package() -> None:
    rules = tuple(PackageRule(f"a/p{number}", skip=True) for number in range(3_000))
    listed = "".join(f"- {{package: a/p{number}, version: 1.0.0}}\n" for number in range(500))
    with patience():
        found = PackageListReader(rules=rules).read_project({"packages.yml": f"packages:\n{listed}".encode()}, "")
    assert len(found.skipped) == 500


def test_the_header_of_an_archive_is_read_once() -> None:
    name = "a=" + "b" * 60_000
    records = f"{len(name) + 7} {name}\n".encode() + b"5 a=\n" * 800
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    packed = io.BytesIO((header.tobuf() + records + bytes(-len(records) % 512)) * 200)
    with patience():
        assert not list(TarReader(packed, PackageLimits()))


def test_an_archive_with_more_directories_than_memory_is_refused() -> None:
    paths = PathSet()
    with patience(), pytest.raises(ValueError, match="nested too deep"):
        for number in range(50_000):
            paths.add("/".join([f"{number:x}", *["a"] * 400, "b.sql"]))
