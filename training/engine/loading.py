"""The base model, an adapter on it, and what both take: shared by every recipe. Imports torch when called."""

from pathlib import Path

from rendering import Renderer
from rendering.model_facts import BaseModelFacts
from training.engine.config import TrainingConfig
from training.engine.errors import BAD_CONFIG, BAD_MODEL, EngineError
from training.engine.estimate import activation_bytes
from training.engine.hardware import peak_memory_of_process, read_hardware, usable_cpus

# Recomputing activations costs a third of the speed, so only where they would take most of the memory.
CHECKPOINTING_SHARE = 0.5


def is_bf16(config: TrainingConfig, device: str) -> bool:
    """auto: where matrix multiplication in bf16 is in the hardware; elsewhere it would be slower."""
    import torch

    if config.precision != "auto":
        return config.precision == "bf16"
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_amx_tile_supported()


def load_model(directory: Path, device: str, is_bf16: bool):
    """The base model in train mode; weights in fp32 on a CPU, in bf16 on a GPU that computes in it."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(
            directory,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.bfloat16 if device == "cuda" and is_bf16 else torch.float32,
        )
    except (ValueError, KeyError, OSError, RuntimeError, TypeError, AttributeError) as error:
        if "memory" in str(error).lower():
            raise
        raise EngineError(
            BAD_MODEL,
            f"The base model cannot be loaded: {error}",
            "Choose a causal language model that this version of transformers knows.",
        ) from error
    model.config.use_cache = False
    return model.to(device)


def add_adapter(model, config: TrainingConfig):
    from peft import LoraConfig, get_peft_model

    names = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()} | {
        name for name, _ in model.named_modules()
    }
    missing = [name for name in config.target_modules if name not in names]
    if missing:
        raise EngineError(
            BAD_CONFIG,
            f"target_modules names {', '.join(missing)}, which this base model does not have.",
            "Leave target_modules as it is for Llama-like models, or name layers of this one.",
        )
    lora = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.target_modules),
        task_type="CAUSAL_LM",
        bias="none",
    )
    return get_peft_model(model, lora)


def trainer_tokenizer(directory: Path, renderer: Renderer):
    """Only so that the trainer has one; tokens come from rendering."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"))
    special = renderer.special_tokens
    # Padding is never attended to nor learned, so any token serves.
    tokenizer.eos_token = special.get("eos_token") or tokenizer.convert_ids_to_tokens(0)
    tokenizer.pad_token = special.get("pad_token") or tokenizer.eos_token
    return tokenizer


def needs_checkpointing(facts: BaseModelFacts, budget: int, is_bf16: bool) -> bool:
    hardware = read_hardware()
    gpu = hardware.gpus[0] if hardware.gpus else None
    free = gpu.memory_free_bytes if gpu else hardware.memory_free_bytes
    return activation_bytes(facts, budget, is_bf16) > CHECKPOINTING_SHARE * free


def device_name(device: str, threads: int) -> str:
    import torch

    return torch.cuda.getdevice_name() if device == "cuda" else f"cpu ({threads} of {usable_cpus()} cores)"


def peak_memory(device: str) -> int:
    """The most that was taken at once, in bytes: of the GPU where there is one, else of this process."""
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return peak_memory_of_process()
