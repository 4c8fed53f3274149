"""vLLM's own faults, in the stand-in as in the real one: what our side is built around."""

import shutil

import pytest

from serving.backends.base import BackendUnavailable, Target
from serving.backends.vllm import VllmBackend
from serving.probing import probe_written, write_base
from tests.serving.adapters import DEMO, safetensors, tensors, write_adapter
from tests.serving.fake_vllm import running_fake
from tests.serving.real_vllm import PATIENCE_SECONDS, running_vllm
from tests.serving.test_vllm_contract import answer, mixed_up

REAL = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.timeout(PATIENCE_SECONDS)]


@pytest.fixture(params=["fake", pytest.param("real", marks=REAL)])
def backend(request, tmp_path):
    """vLLM on a processor as others publish it, with two slots."""
    if request.param == "fake":
        with running_fake(DEMO, max_loras=2, seconds_a_token=0.002) as fake:
            yield VllmBackend(fake.url)
    else:
        with running_vllm(DEMO, log=tmp_path / "vllm.log", adapters=1, is_mended=False) as real:
            yield VllmBackend(real.url)


def adapter(home, number: int):
    return write_adapter(home / f"a{number}", weights=safetensors(tensors(seed=number)))


async def test_faults_that_we_know(backend, tmp_path):
    """One server for all of them, as starting one takes so long; the last one ends it."""
    base = Target("demo", "demo", DEMO)
    record = {"prompts": [{"prompt_token_ids": [5, 6, 7]}, {"prompt_token_ids": [8, 9]}]}
    written = await write_base(backend, "demo", record)
    # 1. With a free slot the base is right among adapters.
    await backend.load_adapter("a1-v1", adapter(tmp_path, 1))
    assert await mixed_up(backend, ["demo", "a1-v1"]) == {}
    assert (await probe_written(backend, base=base, written=written, adapters=["a1-v1"]))["is_right"]
    # 2. Without one, its answers are computed with the adapter in the last slot: those that share a batch with others.
    await backend.load_adapter("a2-v1", adapter(tmp_path, 2))
    assert set(await mixed_up(backend, ["demo", "a1-v1", "a2-v1"])) == {"demo"}
    found = await probe_written(backend, base=base, written=written, adapters=["a1-v1", "a2-v1"])
    assert found["wrong"] == ["demo"]
    # 3. Unloading frees no slot.
    await backend.unload_adapter("a2-v1")
    assert set(await mixed_up(backend, ["demo", "a1-v1"])) == {"demo"}
    # 4. A registered adapter that was pushed out and is not on the disk any more ends the server, for everybody.
    for number in range(3, 9):
        await backend.load_adapter(f"a{number}-v1", adapter(tmp_path, number))
    shutil.rmtree(tmp_path / "a1")
    with pytest.raises(BackendUnavailable):
        await answer(backend, "a1-v1")
    assert not await backend.is_healthy()
    with pytest.raises(BackendUnavailable):
        await answer(backend, "demo")
