"""Runner images on a real engine: found by their labels, built, and checked with each of their adapters."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import aiodocker
import pytest

from app.core.errors import ConfigurationError, RunnerImageError
from app.project.adapters import IN_IMAGES
from app.project.runner_images import RunnerImage
from app.runner.docker import build
from app.runner.docker.images import PROTOCOL, Images
from app.service import config
from app.service.commands import images
from tests.integration.runner_images import RUNNER_IMAGE, build_image

OLDER = ("dbt-runner:1.10", "dbt-runner:1.7")
CHECKOUT = {
    "Dockerfile.dbt": "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nARG DBT_VERSION=1.11.16\nARG DBT_ADAPTERS\n"
    "COPY deploy/dbt/ app/runner/program/ /copied/\n"
    'LABEL io.freshet.dbt-version="${DBT_VERSION}" io.freshet.adapters="${DBT_ADAPTERS}"\n',
    "deploy/dbt/1.7.txt": "dbt-core==1.7.20\ndbt-extractor==0.5.1\ndbt-duckdb==1.7.5\ndbt-athena-community==1.7.2\n",
    "deploy/dbt/1.11.txt": "dbt-core==1.11.16\ndbt-adapters==1.24.5\ndbt-duckdb==1.11.1\ndbt-snowflake==1.12.3\n",
    "app/runner/program/__main__.py": "",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in CHECKOUT.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "checkout"


@pytest.fixture
async def labelled(docker: aiodocker.Docker) -> AsyncIterator[dict[str, str]]:
    """Empty images with our labels, of versions that no project asks for: ids by tag."""
    mark = secrets.token_hex(4)
    versions = {"older": ("1.2.1", PROTOCOL), "newer": ("1.3.9", PROTOCOL), "foreign": ("1.3.9", "1")}
    ids = {}
    for tag, (version, protocol) in versions.items():
        labels = {"io.freshet.runner": protocol, "io.freshet.dbt-version": version, "io.freshet.adapters": "duckdb", "mark": mark}
        lines = "\n".join(f'LABEL {key}="{value}"' for key, value in labels.items())
        name = await build_image(docker, f"{mark}-{tag}", f"FROM scratch\nCOPY {tag} /\n{lines}\n", {tag: tag})
        ids[tag] = (await docker.images.inspect(name))["Id"]
    await docker.images.tag(ids["newer"], "dbt-runner", tag=f"{mark}-newer")
    await docker.images.tag(ids["newer"], "another-name", tag=mark)
    ids["name"] = f"dbt-runner:{mark}-newer"
    yield ids
    for name in (f"another-name:{mark}", ids["name"], *(f"freshet-test:{mark}-{tag}" for tag in versions)):
        await docker.images.delete(name, force=True)


async def test_the_default_image_comes_first_then_all_labelled_ones_newest_first(
    docker: aiodocker.Docker, labelled: dict[str, str]
) -> None:
    found = await Images(docker, RUNNER_IMAGE, None).all()
    assert found[0].name == RUNNER_IMAGE
    assert found[0].adapters == IN_IMAGES
    assert len({image.id for image in found}) == len(found)
    ids = [image.id for image in found]
    assert ids.index(labelled["newer"]) < ids.index(labelled["older"])
    assert labelled["foreign"] not in ids
    newer = found[ids.index(labelled["newer"])]
    assert newer == RunnerImage(labelled["name"], labelled["newer"], "1.3.9", frozenset({"duckdb"}))


async def test_named_images_are_used_in_their_order_and_no_others(docker: aiodocker.Docker, labelled: dict[str, str]) -> None:
    found = await Images(docker, RUNNER_IMAGE, [OLDER[1], OLDER[0], RUNNER_IMAGE]).all()
    assert [image.name for image in found] == [RUNNER_IMAGE, OLDER[1], OLDER[0]]
    assert [image.dbt_version.rpartition(".")[0] for image in found] == ["1.11", "1.7", "1.10"]


async def test_a_missing_image_is_an_error_that_names_it_and_its_variable(docker: aiodocker.Docker) -> None:
    with pytest.raises(RunnerImageError, match=r"no/such:image.*DBT_DOCKER_IMAGES"):
        await Images(docker, RUNNER_IMAGE, ["no/such:image"]).all()
    with pytest.raises(RunnerImageError, match=r"no/such:image.*DBT_DOCKER_IMAGE\b"):
        await Images(docker, "no/such:image", None).all()


async def test_checking_images_names_the_one_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, labelled: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FRESHET_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("DBT_DOCKER_IMAGE", labelled["name"])
    monkeypatch.setenv("DBT_DOCKER_IMAGES", OLDER[1])
    assert await images.check_images(config.read()) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"not ok: {labelled['name']}: duckdb: While ") for line in lines)
    assert sum(line.startswith(f"ok: {OLDER[1]}: ") for line in lines) == 2
    assert await images.list_images(config.read()) == 0
    assert "duckdb, postgres" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dbt", "adapters", "tag", "expected"),
    [
        (None, None, None, build.Recipe("1.11.16", ("duckdb", "snowflake"), "dbt-runner:1.11")),
        ("1.7", None, None, build.Recipe("1.7.20", ("athena", "duckdb"), "dbt-runner:1.7")),
        ("1.7", "dbt-duckdb, athena", None, build.Recipe("1.7.20", ("duckdb", "athena"), "dbt-runner:1.7-duckdb-athena")),
        ("1.7.4", "duckdb", "mine:1", build.Recipe("1.7.4", ("duckdb",), "mine:1")),
    ],
)
def test_the_recipe_of_an_image(checkout: Path, dbt: str | None, adapters: str | None, tag: str | None, expected: build.Recipe) -> None:
    assert build.recipe(checkout, dbt, adapters, tag) == expected


@pytest.mark.parametrize(
    ("dbt", "adapters", "says"),
    [
        ("1.4", None, "only for 1.7, 1.11"),
        ("../1.7", None, "no lock file for dbt"),
        ("1.7", "snowflake", "there is no adapter snowflake, only athena"),
    ],
)
def test_an_image_that_cannot_be_built_is_an_error(checkout: Path, dbt: str, adapters: str | None, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        build.recipe(checkout, dbt, adapters, None)


def test_building_without_the_dockerfile_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="this installation of Freshet is incomplete"):
        build.recipe(tmp_path, None, None, None)


async def test_an_image_is_built_through_the_engine(docker: aiodocker.Docker, checkout: Path) -> None:
    wanted = build.recipe(checkout, "1.7", "duckdb", f"freshet-test:{secrets.token_hex(4)}")
    said: list[str] = []
    try:
        await build.build(docker, checkout, wanted, {"BASE_IMAGE": RUNNER_IMAGE}, said.append)
        (image,) = await Images(docker, wanted.tag).all()
        assert (image.dbt_version, image.adapters) == ("1.7.20", frozenset({"duckdb"}))
        assert any("COPY deploy/dbt/" in line for line in said)
    finally:
        await docker.images.delete(wanted.tag, force=True)


async def test_the_error_of_a_failed_build_has_the_end_of_its_output(docker: aiodocker.Docker, checkout: Path) -> None:
    dockerfile = checkout / "Dockerfile.dbt"
    dockerfile.write_text(dockerfile.read_text() + "USER root\nRUN echo no index here && exit 7\n")
    wanted = build.recipe(checkout, "1.7", "duckdb", "freshet-test:never")
    with pytest.raises(RunnerImageError, match=r"(?s)no index here.*returned a non-zero code: 7"):
        await build.build(docker, checkout, wanted, {"BASE_IMAGE": RUNNER_IMAGE}, lambda _: None)
