"""Our LoRA product against PEFT's own layers."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model

from training.engine.cpu_lora import kept, use_cpu_lora


class Two(torch.nn.Module):
    """A layer without bias on inputs that need no gradient, then one with bias."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(12, 20, bias=False)
        self.second = torch.nn.Linear(20, 8)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


@pytest.fixture
def pair():
    """(PEFT's model, the same with our product); B is not zero, so that every gradient is alive."""
    torch.manual_seed(1)
    lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, target_modules=["first", "second"])
    theirs = get_peft_model(Two(), lora)
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    ours = copy.deepcopy(theirs)
    assert use_cpu_lora(ours) == 2
    return theirs.train(), ours.train()


def test_outputs_and_gradients_are_those_of_peft(pair):
    theirs, ours = pair
    x = torch.randn(3, 5, 12)
    for model in pair:
        model(x).square().sum().backward()
    assert torch.allclose(theirs(x), ours(x), atol=1e-5)
    expected = dict(theirs.named_parameters())
    seen = 0
    for name, parameter in ours.named_parameters():
        if parameter.requires_grad:
            assert torch.allclose(parameter.grad, expected[name].grad, atol=1e-4), name
            seen += 1
        else:
            assert parameter.grad is None
    assert seen == 4


def test_the_gradient_of_the_input_is_that_of_peft(pair):
    gradients = []
    for model in pair:
        x = torch.linspace(-1, 1, 60).reshape(5, 12).requires_grad_()
        model(x).square().sum().backward()
        gradients.append(x.grad)
    assert torch.allclose(*gradients, atol=1e-4)


def test_a_disabled_adapter_and_a_saved_one_are_untouched(pair):
    theirs, ours = pair
    x = torch.randn(2, 12)
    with theirs.disable_adapter(), ours.disable_adapter():
        assert torch.equal(theirs(x), ours(x))
    assert list(theirs.state_dict()) == list(ours.state_dict())


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    torch.manual_seed(3)
    factors = kept(torch.empty(301, 333), 0.05)
    assert (factors == 0).float().mean().item() == pytest.approx(0.05, abs=0.003)
    assert factors.mean().item() == pytest.approx(1, abs=0.004)
    assert factors.unique().tolist() == pytest.approx([0, 1 / 0.95])
    torch.manual_seed(3)
    assert torch.equal(factors, kept(torch.empty(301, 333), 0.05))


def test_dropout_is_off_when_the_model_is_asked(tiny_model):
    from transformers import AutoModelForCausalLM

    lora = LoraConfig(r=4, lora_dropout=0.5, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), lora)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    assert use_cpu_lora(model) == 4
    tokens = torch.arange(6).reshape(1, 6)
    model.eval()
    assert torch.equal(model(tokens).logits, model(tokens).logits)
    model.train()
    assert not torch.equal(model(tokens).logits, model(tokens).logits)


def test_other_kinds_of_layers_keep_pefts_own_forward():
    lora = LoraConfig(r=4, use_dora=True, target_modules=["first", "second"])
    assert use_cpu_lora(get_peft_model(Two(), lora)) == 0
