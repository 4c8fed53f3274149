"""The base model in 4 bits, and an adapter to go on from."""

import pytest

from training.engine.config import TrainingConfig
from training.engine.cpu_lora import use_cpu_lora
from training.engine.errors import EngineError
from training.engine.loading import add_adapter, load_model
from training.engine.reference import adapter_reference, base_reference

SMALL = TrainingConfig(lora_r=4, lora_alpha=8, lora_dropout=0.0)


def answers(model):
    import torch

    with torch.no_grad():
        return model(torch.arange(3, 15)[None]).logits


def disturb(model):
    """Weights of an adapter that has learned something; returns the model."""
    import torch

    torch.manual_seed(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model


@pytest.fixture
def start_dir(tiny_model, tmp_path):
    disturb(add_adapter(load_model(tiny_model, "cpu", False), SMALL)).save_pretrained(tmp_path / "start")
    return tmp_path / "start"


def test_linear_layers_are_kept_in_four_bits_with_their_scales_quantised_too(tiny_model):
    import torch
    from bitsandbytes.nn import Linear4bit

    model = add_adapter(load_model(tiny_model, "cpu", False, "nf4"), SMALL)
    squeezed = [module for module in model.modules() if isinstance(module, Linear4bit)]
    # Seven layers in each of two blocks; neither embeddings nor what reads them.
    assert len(squeezed) == 14
    for module in squeezed:
        assert module.weight.dtype == torch.uint8 and module.compute_dtype == torch.float32
        assert module.weight.quant_type == "nf4" and module.weight.quant_state.nested
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}
    model(torch.arange(8)[None], labels=torch.arange(8)[None]).loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_layers_in_four_bits_keep_pefts_own_forward(tiny_model):
    assert use_cpu_lora(add_adapter(load_model(tiny_model, "cpu", False, "nf4"), SMALL)) == 0


def test_an_adapter_to_go_on_from_is_trainable_and_takes_the_settings_dropout(tiny_model, start_dir):
    import torch
    from peft import PeftModel

    config = TrainingConfig(lora_r=4, lora_alpha=8, lora_dropout=0.2)
    model = add_adapter(load_model(tiny_model, "cpu", False), config, start_dir)
    expected = PeftModel.from_pretrained(load_model(tiny_model, "cpu", False), start_dir)
    assert sum(parameter.requires_grad for parameter in model.parameters()) == 28
    assert {module.p for name, module in model.named_modules() if name.endswith("lora_dropout.default")} == {
        0.2
    }
    assert torch.allclose(answers(model.eval()), answers(expected.eval()), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"lora_r": 8}, "r is 8, .* has 4"), ({"lora_alpha": 4}, "lora_alpha is 4, .* has 8"),
     ({"target_modules": ("q_proj",)}, r"target_modules is \['q_proj'\]")],
)  # fmt: skip
def test_settings_that_an_adapter_to_go_on_from_does_not_have_are_named(tiny_model, start_dir, change, words):
    config = TrainingConfig(**{"lora_r": 4, "lora_alpha": 8, **change})
    with pytest.raises(EngineError, match=words) as caught:
        add_adapter(load_model(tiny_model, "cpu", False), config, start_dir)
    assert caught.value.reason == "bad_config"


@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_an_adapter_that_cannot_be_read_is_told(tiny_model, start_dir, damage):
    weights = start_dir / "adapter_model.safetensors"
    if damage == "missing":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(EngineError, match="The adapter to go on from cannot be loaded") as caught:
        add_adapter(load_model(tiny_model, "cpu", False), SMALL, start_dir)
    assert caught.value.reason == "bad_model" and caught.value.advice


@pytest.mark.parametrize("quick", [False, True])
def test_the_reference_answers_as_at_the_beginning_whatever_was_learned_since(tiny_model, start_dir, quick):
    import torch

    config = TrainingConfig(lora_r=4, lora_alpha=8, lora_dropout=0.5)
    fresh = add_adapter(load_model(tiny_model, "cpu", False), config)
    begun = add_adapter(load_model(tiny_model, "cpu", False), config, start_dir)
    for model, make in ((fresh, base_reference), (begun, adapter_reference)):
        assert not quick or use_cpu_lora(model) == 14
        before = answers(model.eval())
        reference = make(model)
        disturb(model).train()
        now = [parameter.data_ptr() for parameter in model.parameters()]
        with reference():
            assert torch.allclose(answers(model), before, atol=1e-5)
        assert not torch.allclose(answers(model.eval()), before, atol=1e-3)
        assert now == [parameter.data_ptr() for parameter in model.parameters()]
        assert all(p.requires_grad == ("lora_" in name) for name, p in model.named_parameters())
