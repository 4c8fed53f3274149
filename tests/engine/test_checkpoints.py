"""A checkpoint is whole or refused: every torn and every flipped file is found."""

import json
import os
import random

import pytest
import torch
from safetensors.torch import save_file

from training.engine import checkpoints
from training.engine.checkpoints import Snapshot, read_checkpoint, whole_directory, write_checkpoint
from training.engine.errors import EngineError
from training.engine.manifests import verify


def adapter(directory, tensors):
    save_file(tensors, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text('{"r": 1}')


def snapshot(step=7):
    return Snapshot(
        step,
        {"a": torch.ones(3)},
        {"optimizer/0.step": torch.tensor(3.0)},
        {"seconds": 0.1 + 0.2},
        {"a": torch.zeros(3)},
    )


@pytest.fixture
def written(tmp_path):
    return write_checkpoint(tmp_path / "checkpoints", snapshot(), adapter)


def test_what_was_written_is_read_again(written):
    found = read_checkpoint(written.path)
    assert written.path.name == "step-00000007"
    assert (found.step, found.numbers) == (7, {"seconds": 0.1 + 0.2})
    assert torch.equal(found.adapter["a"], torch.ones(3)) and torch.equal(found.best["a"], torch.zeros(3))
    assert found.tensors["optimizer/0.step"].item() == 3.0
    assert written.size_bytes == sum(path.stat().st_size for path in written.path.iterdir())
    assert os.listdir(written.path.parent) == [written.path.name]


def test_the_same_step_written_again_replaces_the_first(written):
    (written.path / "state.json").write_text("torn")
    again = write_checkpoint(written.path.parent, snapshot(), adapter)
    assert again.path == written.path and read_checkpoint(again.path).step == 7
    assert os.listdir(written.path.parent) == [written.path.name]


def test_what_a_killed_writer_left_behind_goes(written):
    torn = written.path.parent / ".step-00000009.123"
    torn.mkdir()
    (torn / "adapter_model.safetensors").write_bytes(b"half")
    write_checkpoint(written.path.parent, snapshot(8), adapter)
    assert sorted(os.listdir(written.path.parent)) == ["step-00000007", "step-00000008"]


def test_every_truncation_of_every_file_is_found(written):
    for path in list(written.path.iterdir()):
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(EngineError, match=path.name) as caught:
                verify(written.path)
            assert caught.value.reason == "bad_checkpoint" and caught.value.advice
        path.write_bytes(whole)
    verify(written.path)


def test_every_flipped_bit_is_found(written):
    dice = random.Random(4)
    for path in list(written.path.iterdir()):
        whole = path.read_bytes()
        bits = range(len(whole) * 8)
        for bit in bits if len(whole) < 200 else dice.sample(bits, 500):
            torn = bytearray(whole)
            torn[bit // 8] ^= 1 << bit % 8
            path.write_bytes(torn)
            with pytest.raises(EngineError, match="step-00000007"):
                verify(written.path)
        path.write_bytes(whole)
    verify(written.path)


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(written, name):
    (written.path / name).unlink()
    with pytest.raises(EngineError, match=name):
        read_checkpoint(written.path)


def test_a_file_that_does_not_belong_there_is_named(written):
    (written.path / "more.bin").write_bytes(b"x")
    with pytest.raises(EngineError, match="more.bin"):
        read_checkpoint(written.path)


def test_a_directory_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(EngineError, match="manifest.json"):
        read_checkpoint(tmp_path / "nowhere")


def test_a_manifest_of_another_making_is_refused(written):
    text = json.loads((written.path / "manifest.json").read_text())
    (written.path / "manifest.json").write_text(json.dumps([text]))
    with pytest.raises(EngineError, match="manifest.json"):
        verify(written.path)


def test_on_a_full_disk_nothing_half_written_is_left(tmp_path):
    def fill(directory, tensors):
        adapter(directory, tensors)
        raise OSError(28, "No space left on device")

    with pytest.raises(EngineError, match="the checkpoint of step 7 could not be written") as caught:
        write_checkpoint(tmp_path, snapshot(), fill)
    assert caught.value.reason == "disk_full" and os.listdir(tmp_path) == []
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "kept").touch()
    with pytest.raises(EngineError, match="the adapter"), whole_directory(tmp_path / "adapter") as draft:
        fill(draft, snapshot().adapter)
    assert os.listdir(tmp_path) == ["adapter"] and os.listdir(tmp_path / "adapter") == ["kept"]


def test_a_number_that_is_none_is_never_written(tmp_path):
    bad = snapshot()
    bad.numbers["x"] = float("nan")
    with pytest.raises(ValueError):
        write_checkpoint(tmp_path, bad, adapter)


def test_an_optimizer_goes_on_in_the_same_bits():
    def make():
        weight = torch.nn.Parameter(torch.ones(4))
        return weight, torch.optim.AdamW([weight], lr=0.1, betas=(0.8, 0.95))

    def move(weight, optimizer):
        weight.grad = weight.detach() * 0.3
        optimizer.step()

    weight, optimizer = make()
    for _ in range(3):
        move(weight, optimizer)
    tensors, numbers = checkpoints.optimizer_state(optimizer)
    # A file would hold copies.
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    other, second = make()
    other.data.copy_(weight)
    checkpoints.load_optimizer_state(second, tensors, json.loads(json.dumps(numbers)))
    for pair in ((weight, optimizer), (other, second)):
        move(*pair)
    assert torch.equal(weight, other) and second.param_groups[0]["betas"] == (0.8, 0.95)
