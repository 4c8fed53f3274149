from dataclasses import replace

import pytest

from tests.engine.test_estimate_known import GIB, shape
from training.engine.config import TrainingConfig
from training.engine.estimate import estimate, gpu_target
from training.engine.suggestions import suggest


def suggested(name, config, target, lengths):
    def tried(changes):
        return estimate(lengths, shape(name), replace(config, **changes), target)

    now = tried({})
    return now, suggest(config, now, tried)


def test_what_fits_alone_comes_first_and_says_what_it_saves():
    now, found = suggested("qwen2.5-7b", TrainingConfig(), gpu_target("NVIDIA L4", 16 * GIB), [512] * 300)
    assert not now.fits and found[0].code == "nf4" and found[0].fits
    assert found[0].changes == {"quantization": "nf4"}
    assert found[0].saves_bytes == now.memory.total - found[0].after.memory.total > 9e9


def test_a_smaller_batch_keeps_the_rows_of_a_step():
    config = TrainingConfig(quantization="nf4", batch_size=16, gradient_accumulation_steps=2)
    now, found = suggested("qwen2.5-7b", config, gpu_target("NVIDIA L4", 12 * GIB), [2048] * 300)
    batch = next(change for change in found if change.code == "batch")
    assert not now.fits and batch.fits
    assert batch.changes["batch_size"] * batch.changes["gradient_accumulation_steps"] == 32
    # The largest that fits, not the smallest there is.
    larger = replace(config, batch_size=2 * batch.changes["batch_size"])
    assert not estimate([2048] * 300, shape("qwen2.5-7b"), larger, now.target).fits


def test_where_nothing_is_enough_alone_several_are_put_together():
    now, found = suggested("qwen2.5-7b", TrainingConfig(), gpu_target("NVIDIA L4", 10 * GIB), [4096] * 300)
    assert not now.fits and found[0].code == "together" and found[0].fits
    assert found[0].changes["quantization"] == "nf4" and len(found[0].changes) > 1
    assert not any(change.fits for change in found[1:])


def test_nothing_is_promised_where_nothing_helps():
    _now, found = suggested("llama-3-70b", TrainingConfig(), gpu_target("NVIDIA L4", 24 * GIB), [512] * 300)
    assert found and not any(change.fits for change in found)


def test_only_what_saves_is_suggested():
    config = TrainingConfig(batch_size=1, quantization="nf4", activation_checkpointing="on", lora_r=4)
    _now, found = suggested("qwen2.5-32b", config, gpu_target("NVIDIA L4", 16 * GIB), [100] * 300)
    assert [change.code for change in found] == []


def test_several_cards_can_share_the_base_model():
    target = gpu_target("NVIDIA H100", 80 * GIB, devices=4)
    _now, found = suggested("llama-3-70b", TrainingConfig(), target, [512] * 300)
    assert found[0].code == "split" and found[0].fits


@pytest.mark.parametrize("change", [{"max_length": 1024}, {"lora_r": 8}])
def test_mild_changes_save_too(change):
    config = TrainingConfig(quantization="nf4", lora_r=64)
    now = estimate([2048] * 300, shape("qwen2.5-7b"), config, gpu_target("NVIDIA L4", 24 * GIB))
    after = estimate([2048] * 300, shape("qwen2.5-7b"), replace(config, **change), now.target)
    assert after.memory.total < now.memory.total
