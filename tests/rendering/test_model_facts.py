import json
import shutil

import pytest

from rendering import BadModel
from rendering.model_facts import read_model_facts


@pytest.fixture
def copied(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def change_config(path, **values):
    config = json.loads((path / "config.json").read_text())
    config.update(values)
    (path / "config.json").write_text(json.dumps(config))


def test_sizes_come_from_the_files(tiny_model):
    from transformers import AutoModelForCausalLM

    facts = read_model_facts(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert facts.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (facts.layers, facts.hidden_size, facts.intermediate_size) == (2, 32, 64)
    assert (facts.vocabulary_size, facts.context, facts.is_tied) == (420, 256, True)
    assert facts.weight_bytes == (tiny_model / "model.safetensors").stat().st_size


def refused(path):
    with pytest.raises(BadModel) as caught:
        read_model_facts(path)
    return str(caught.value)


def test_code_of_its_own_is_refused(copied):
    change_config(copied, auto_map={"AutoModelForCausalLM": "modeling.Evil"})
    assert "never run" in refused(copied)


def test_another_kind_of_model_is_refused(copied):
    change_config(copied, architectures=["BertForMaskedLM"])
    assert "BertForMaskedLM" in refused(copied)


def test_pickled_weights_are_refused_by_name(copied):
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    assert refused(copied) == "This base model has no model.safetensors; it has pytorch_model.bin."


def test_a_torn_file_is_noticed(copied):
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert "bytes long" in refused(copied)
    weights.write_bytes(b"\xff" * 64)
    assert "not a readable safetensors file" in refused(copied)


def test_an_index_cannot_point_outside(copied):
    (copied / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../secret.safetensors"}})
    )
    assert "../secret.safetensors" in refused(copied)


def test_a_missing_directory_or_config_is_told(copied, tmp_path):
    assert "does not exist" in refused(tmp_path / "nowhere")
    (copied / "config.json").write_text("{")
    assert "config.json cannot be read" in refused(copied)
