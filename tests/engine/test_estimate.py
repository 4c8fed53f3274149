from dataclasses import replace

import pytest

from rendering.model_facts import BaseModelFacts
from training.engine.config import TrainingConfig
from training.engine.estimate import adapter_parameters, estimate, target_of
from training.engine.hardware import Gpu, Hardware, parse_gpus, read_hardware, training_threads

GIB = 1024**3
SMALL = BaseModelFacts("LlamaForCausalLM", "llama", 2_500_000, 10_000_000, 2048, 4, 192, 512, 4096, True)
LARGE = BaseModelFacts(
    "LlamaForCausalLM", "llama", 8_030_000_000, 16 * GIB, 8192, 32, 4096, 14336, 128256, False
)
LAPTOP = target_of(Hardware(2, 8 * GIB, 5 * GIB))
CARD = target_of(Hardware(16, 128 * GIB, 100 * GIB, (Gpu(0, "NVIDIA H200", 140 * GIB, 139 * GIB),)))


def test_a_small_model_fits_a_small_machine():
    found = estimate([80] * 44, SMALL, TrainingConfig(), LAPTOP, held_out_lengths=[80] * 5)
    assert (found.rows, found.steps, found.epochs, found.tokens) == (44, 66, 6, 80 * 44 * 6)
    assert found.fits and found.memory.total < 2 * GIB and found.advice == ()
    assert 15 < found.seconds < 120


def test_a_large_model_does_not_fit_and_says_so():
    found = estimate([80] * 44, LARGE, TrainingConfig(), LAPTOP)
    assert not found.fits and "does_not_fit" in found.advice and "no_held_out_rows" in found.advice
    assert found.memory.of("weights") == LARGE.parameters * 4


def test_a_large_model_fits_a_large_card():
    found = estimate([1500] * 400, LARGE, TrainingConfig(), CARD, held_out_lengths=[1500])
    assert found.fits and found.target.name == "NVIDIA H200"


def test_what_was_measured_there_comes_before_a_guess():
    guess = estimate([100] * 100, SMALL, TrainingConfig(), LAPTOP)
    slow = estimate([100] * 100, SMALL, TrainingConfig(), replace(LAPTOP, factor=0.1))
    assert slow.tokens_per_second == pytest.approx(guess.tokens_per_second / 10)
    assert slow.speed.formula == guess.speed.formula and "× 0.10 as measured here" in slow.speed.arithmetic
    assert slow.seconds > 5 * guess.seconds


def test_rows_longer_than_the_context_are_told_and_counted_at_its_length():
    found = estimate([5000, 100], SMALL, TrainingConfig(max_steps=1, min_steps=1), LAPTOP)
    assert found.tokens == 2148 and "too_long_rows" in found.advice and "few_rows" in found.advice


def test_a_sample_of_no_rows_is_an_error():
    with pytest.raises(ValueError, match="at least one row"):
        estimate([], SMALL, TrainingConfig(), LAPTOP)


@pytest.mark.parametrize(
    "modules", [TrainingConfig().target_modules, ("q_proj", "k_proj"), ("model.layers.1.self_attn.v_proj",)]
)
def test_the_adapter_is_counted_to_the_parameter(tiny_model, modules):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from rendering.model_facts import read_model_facts

    config = TrainingConfig(target_modules=modules)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    lora = LoraConfig(r=config.lora_r, target_modules=list(config.target_modules), task_type="CAUSAL_LM")
    trainable, _ = get_peft_model(model, lora).get_nb_trainable_parameters()
    assert adapter_parameters(read_model_facts(tiny_model), config) == trainable


def test_the_machine_is_read():
    found = read_hardware()
    assert found.cpus >= 1 and 0 < found.memory_free_bytes <= found.memory_total_bytes


def test_lines_of_nvidia_smi_become_gpus():
    text = "0, NVIDIA H200, 143771, 142880\nbroken line\n1, NVIDIA A100, 81920, [N/A]\n"
    assert parse_gpus(text) == (Gpu(0, "NVIDIA H200", 143771 * 1024**2, 142880 * 1024**2),)


def test_a_small_model_leaves_processors_to_others():
    assert [training_threads(2_500_000, cpus) for cpus in (1, 2, 8)] == [1, 1, 4]
    assert training_threads(8_000_000_000, 8) == 8
