"""Projects that attack the host or use up resources: each ends with a clear error, and without any effect on other jobs."""

from __future__ import annotations

import asyncio
import json
import resource
import tarfile
from collections.abc import AsyncIterator, Mapping

import aiodocker
import pytest

from app.core.errors import ContainerOutOfMemoryError, ContainerTimedOutError, DbtError, FreshetError, OutputTooBigError, RunnerImageError
from app.pipeline.ports import Parsed
from app.runner.backend import MAX_MANIFEST
from app.runner.docker.backend import DockerRunner
from tests.integration.hostile_code import attack, hostile_runner
from tests.integration.runner_fixtures import Make
from tests.integration.runner_projects import SHOP, entry, job, shop, tree
from tests.patience import HANGS_S

LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
ALIAS_BOMB = f"{LAUGHS}models:\n  - name: orders\n    config: {{meta: {{all: *a9}}}}\n    columns: [{{name: id}}]\n"
MERGE_BOMB = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12))


async def parse(runner: DockerRunner, stream: AsyncIterator[bytes] | None = None) -> Parsed:
    [image, *_] = await runner.images()
    return await runner.parse(job(image=image), stream or tree(), None)


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


async def test_the_number_of_processes_is_limited(make: Make, docker: aiodocker.Docker) -> None:
    bomb = """
        made = 0
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(3600)
                made += 1
        except BlockingIOError:
            say({"made": made})
    """
    parsed = await attack(await hostile_runner(make, docker, pids=48), bomb)
    # The rest is this process, and what the engine needs to start it.
    assert 40 <= json.loads(parsed.manifest)["made"] < 48


async def test_files_are_limited_in_number_and_size(make: Make, docker: aiodocker.Docker) -> None:
    fill = """
        def many():
            for number in range(10 ** 7):
                os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY))
        def sparse():
            with open("/work/sparse", "wb") as file:
                file.truncate(1 << 40)
        def shared():
            with open("/dev/shm/x", "wb", buffering=0) as file:
                for _ in range(64):
                    file.write(bytes(1 << 20))
        def opened():
            kept = [open("/dev/null") for _ in range(100_000)]
        def queue():
            librt = ctypes.CDLL("librt.so.1", use_errno=True)
            if librt.mq_open(b"/q", os.O_CREAT | os.O_RDWR, 0o600, None) == -1:
                raise OSError(ctypes.get_errno(), "")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        answers = {attempt.__name__: tried(attempt) for attempt in (many, sparse, shared, opened, queue)}
        say({**answers, "made": len(os.listdir("/tmp"))})
    """
    answers = json.loads((await attack(await hostile_runner(make, docker, memory_bytes=384 << 20), fill)).manifest)
    assert 19_000 < answers.pop("made") < 20_000
    assert answers == {"many": "ENOSPC", "sparse": "EFBIG", "shared": "ENOSPC", "opened": "EMFILE", "queue": "EMFILE"}


async def test_the_kernels_data_about_files_counts_as_memory(make: Make, docker: aiodocker.Docker) -> None:
    """Hundreds of thousands of empty files: even the smallest container runs out of its own memory first."""
    fill = """
        for number in range(10 ** 7):
            os.symlink("x" * 2000, f"/work/{number}")
    """
    with pytest.raises((ContainerOutOfMemoryError, DbtError)) as caught:
        await attack(await hostile_runner(make, docker), fill)
    assert "MiB" in caught.value.user_text or "No space left on device" in str(vars(caught.value))


async def test_a_crash_leaves_no_core_dump(make: Make, docker: aiodocker.Docker) -> None:
    crash = """
        os.chdir("/work")
        child = os.fork()
        if child == 0:
            os.abort()
        status = os.waitpid(child, 0)[1]
        say({"dumped": os.WCOREDUMP(status), "files": os.listdir("/work")})
    """
    assert json.loads((await attack(await hostile_runner(make, docker), crash)).manifest) == {"dumped": False, "files": []}


async def test_a_child_that_keeps_the_streams_open_delays_nothing(make: Make, docker: aiodocker.Docker) -> None:
    async with asyncio.timeout(HANGS_S):
        await attack(await hostile_runner(make, docker), "if os.fork() == 0:\n    os.setsid()\n    time.sleep(3600)\nsay()")


async def test_a_process_that_ignores_signals_is_stopped(make: Make, docker: aiodocker.Docker) -> None:
    deaf = "for number in {*range(1, 65)} - {9, 19, 32, 33}: signal.signal(number, signal.SIG_IGN)\nwhile True: time.sleep(1)"
    with pytest.raises(ContainerTimedOutError, match="after 3 seconds"):
        await attack(await hostile_runner(make, docker, timeout_s=3.0), deaf)


async def test_an_endless_log_is_stopped(make: Make, docker: aiodocker.Docker) -> None:
    before = peak_mib()
    with pytest.raises(OutputTooBigError, match="log is bigger than 256 MiB") as caught:
        await attack(await hostile_runner(make, docker), "while True: os.write(2, b'x' * (1 << 20))")
    assert "log()" in caught.value.user_text
    assert peak_mib() - before < 100


async def test_a_manifest_of_300_mb_is_an_error_and_not_read_into_memory(make: Make, docker: aiodocker.Docker) -> None:
    before = peak_mib()
    with pytest.raises(OutputTooBigError, match=f"bigger than {MAX_MANIFEST >> 20} MiB"):
        await attack(await hostile_runner(make, docker), "say(b'', bytes=300 << 20)\nfor _ in range(300): os.write(1, bytes(1 << 20))")
    assert peak_mib() - before < 400


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ('sys.stdout.write(\'{"ok": true, "error": "\' + "x" * (100 << 20))', RunnerImageError),
        ("sys.stdout.write('[' * 500_000 + chr(10))", RunnerImageError),
        ("say(b'', bytes=10 ** 30)", RunnerImageError),
        ("say(b'{}', bytes=-5)", RunnerImageError),
        ("say(b'{}{}', bytes=2)", RunnerImageError),
        ("say(b'', ok=False, kind='dbt', error='@everyone ' * 9000)", DbtError),
        ("say(b'', bytes=1); os.kill(os.getpid(), 9); sys.exit(5)", DbtError),
        ("answer(taken=True)", RunnerImageError),
        ("os._exit(0)", RunnerImageError),
    ],
    ids=["header of 100 MB", "nested", "huge", "negative", "more than said", "refusal", "status", "taken twice", "nothing"],
)
async def test_an_invalid_result_is_an_error(make: Make, docker: aiodocker.Docker, code: str, error: type) -> None:
    before = peak_mib()
    with pytest.raises(FreshetError) as caught:
        await attack(await hostile_runner(make, docker), code)
    assert type(caught.value) is error
    assert len(caught.value.user_text) < 1000
    assert peak_mib() - before < 100


async def test_the_usage_that_a_container_reports_is_checked(make: Make, docker: aiodocker.Docker) -> None:
    parsed = await attack(await hostile_runner(make, docker), "say(cpu_seconds=1e8, peak_memory_bytes=1 << 39)")
    assert (parsed.usage.cpu_seconds, parsed.usage.peak_memory_bytes) == (None, None)


def odd(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o777
    return info.tobuf(tarfile.PAX_FORMAT)


async def with_odd(*entries: bytes, files: Mapping[str, str] = SHOP) -> AsyncIterator[bytes]:
    for path, content in files.items():
        yield entry(path, content)
    for packed in entries:
        yield packed


@pytest.mark.parametrize("name", ["src/../../etc/x", "/etc/x", "etc/x"], ids=["up", "absolute", "beside"])
async def test_paths_outside_the_sources_are_rejected(make_forked: Make, name: str) -> None:
    """The service never sends such paths, and the container rejects them as well."""
    with pytest.raises(DbtError) as caught:
        await parse(make_forked(more_images=()), with_odd(odd(name)))
    assert "contains a path outside" in caught.value.output


async def test_links_and_devices_in_the_sources_are_harmless(make_forked: Make) -> None:
    links = [
        odd("src/models/out", tarfile.SYMTYPE, "/etc"),
        odd("src/models/loop", tarfile.SYMTYPE, "loop"),
        odd("src/models/out/through.sql"),
    ]
    devices = [odd("src/models/sda", tarfile.BLKTYPE), odd("src/models/tty", tarfile.CHRTYPE), odd("src/models/pipe.sql", tarfile.FIFOTYPE)]
    hard = [odd("src/models/passwd.sql", tarfile.LNKTYPE, "/etc/passwd")]
    manifest = json.loads((await parse(make_forked(more_images=()), with_odd(*links, *devices, *hard))).manifest)
    assert {node for node in manifest["nodes"] if node.startswith("model.")} <= {
        *("model.shop.orders", "model.shop.totals", "model.shop.through"),
    }


@pytest.mark.parametrize("bomb", [ALIAS_BOMB, MERGE_BOMB], ids=["aliases", "merges"])
async def test_a_yaml_bomb_stays_in_its_container(make: Make, bomb: str) -> None:
    files = {**SHOP, "models/bomb.yml": bomb, "models/schema.yml": "models: []\n"}
    async with asyncio.timeout(HANGS_S):
        with pytest.raises((ContainerOutOfMemoryError, ContainerTimedOutError, DbtError)) as caught:
            await parse(make(more_images=(), memory_bytes=384 << 20, cpus=1.0, timeout_s=12.0), tree(files))
    assert caught.value.user_text


async def test_jinja_sees_nothing_of_the_service(make: Make) -> None:
    looks = """
    select '{{ env_var('DOCKER_HOST', 'none') }} {{ env_var('GITHUB_PRIVATE_KEY', 'none') }} {{ env_var('DATABASE_URL', 'none') }}' as seen,
    '{{ modules.keys() | sort | join(' ') }}' as modules
    """
    manifest = (await parse(make(more_images=()), tree(shop(models__orders=looks)))).manifest
    assert json.loads(manifest)["nodes"]["model.shop.orders"]
    assert b"postgresql://" not in manifest


async def test_another_job_is_not_affected(make: Make, docker: aiodocker.Docker) -> None:
    honest = make(more_images=(), cpus=1.0)
    hostile = await hostile_runner(make, docker, cpus=0.5)
    attacks = [
        "while True: os.write(2, b'x' * 65536); time.sleep(0.01)",
        "for _ in range(40):\n    if os.fork() == 0: break\nwhile True: pass",
        "kept = []\nwhile True: kept.append(bytearray(1 << 20)); time.sleep(0.02)",
    ]
    tasks = [asyncio.create_task(attack(hostile, code, extraction_id=f"hostile{n}")) for n, code in enumerate(attacks)]
    await asyncio.sleep(1)
    assert json.loads((await parse(honest)).manifest)["nodes"]
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, FreshetError | asyncio.CancelledError) for end in ends), ends
