"""The base model, an adapter on it, and what both take: shared by every recipe. Imports torch when called."""

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rendering import Renderer
from rendering.model_facts import BaseModelFacts
from training.engine.config import TrainingConfig
from training.engine.errors import BAD_CHECKPOINT, BAD_CONFIG, BAD_MODEL, EngineError, is_memory_error
from training.engine.estimate import activation_bytes
from training.engine.hardware import peak_memory_of_process, read_hardware, training_threads, usable_cpus
from training.engine.spreading import Ranks

# Recomputing activations costs a third of the speed, so only where they would take most of the memory.
CHECKPOINTING_SHARE = 0.5


@dataclass(frozen=True)
class Machine:
    """Where a training computes: `device` is cuda or cpu; `is_bf16` whether it multiplies in bf16.

    `threads` are those of each of its processes.
    """

    device: str
    threads: int
    is_bf16: bool
    processes: int = 1

    @property
    def name(self) -> str:
        import torch

        cpus = f"cpu ({self.threads} of {usable_cpus()} cores)"
        name = torch.cuda.get_device_name() if self.device == "cuda" else cpus
        return name if self.processes == 1 else f"{self.processes} × {name}"

    @property
    def precision(self) -> str:
        return "bf16" if self.is_bf16 else "fp32"


def prepare_machine(config: TrainingConfig, facts: BaseModelFacts) -> Machine:
    """Sets threads and seeds for a training of such a model; from here on a seed gives the same numbers.

    Several processes meet here, share the processors, and take a GPU each.
    """
    import torch
    from transformers import set_seed

    device = "cuda" if torch.cuda.is_available() else "cpu"
    ranks = Ranks.here()
    ranks.meet(device)
    threads = training_threads(facts.parameters, max(1, usable_cpus() // ranks.count))
    torch.set_num_threads(threads)
    # Numbers next to zero take a CPU many times as long, and change no result that is shown.
    torch.set_flush_denormal(True)
    set_seed(config.seed)
    return Machine(device, threads, is_bf16(config, device), ranks.count)


def is_bf16(config: TrainingConfig, device: str) -> bool:
    """auto: where matrix multiplication in bf16 is in the hardware; elsewhere it would be slower."""
    import torch

    if config.precision != "auto":
        return config.precision == "bf16"
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_amx_tile_supported()


def load_model(
    directory: Path, device: str, is_bf16: bool, quantization: str = "none", *, whole: bool = False
):
    """The base model in train mode; weights in fp32 on a CPU, in bf16 on a GPU that computes in it.

    `whole` puts it on the device although several processes split theirs.

    With `nf4` its linear layers are kept in 4 bits, scales quantised too, and compute in that type. Nothing else of
    `prepare_model_for_kbit_training` is done: norms and embeddings in fp32 would take gigabytes and change little
    beside an adapter that is in fp32 anyway.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if device == "cuda" and is_bf16 else torch.float32
    try:
        model = AutoModelForCausalLM.from_pretrained(
            directory,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
            **(_in_four_bits(device, is_bf16) if quantization == "nf4" else {}),
        )
    except (ValueError, KeyError, OSError, RuntimeError, TypeError, AttributeError, SafetensorError) as error:
        if is_memory_error(error):
            raise
        raise EngineError(
            BAD_MODEL,
            f"The base model cannot be loaded: {error}",
            "Choose a causal language model that this version of transformers knows.",
        ) from error
    model.config.use_cache = False
    # Weights in 4 bits were put on their device when they were squeezed; those that are to be split, each process
    # gets its part of.
    stays = quantization == "nf4" or (Ranks.here().is_sharded and not whole)
    return model if stays else model.to(device)


def _in_four_bits(device: str, is_bf16: bool) -> dict[str, Any]:
    import torch
    from transformers import BitsAndBytesConfig

    dtype = torch.bfloat16 if is_bf16 else torch.float32
    squeezed = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        # Bytes cannot be split over processes; the same bytes under the name of a number can.
        bnb_4bit_quant_storage=dtype if Ranks.here().is_sharded else torch.uint8,
    )
    place = torch.cuda.current_device() if device == "cuda" else "cpu"
    return {"quantization_config": squeezed, "device_map": {"": place}}


def add_adapter(model, config: TrainingConfig, start_dir: str | Path | None = None):
    """`model` with a trainable LoRA adapter in fp32: a fresh one, or the one in `start_dir`, to go on from.

    Raises EngineError where the settings do not fit the model, or the adapter.
    """
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
    return get_peft_model(model, lora) if start_dir is None else _go_on_from(Path(start_dir), model, lora)


def _go_on_from(directory: Path, model, lora):
    from peft import LoraConfig, PeftModel
    from safetensors import SafetensorError

    advice = "Choose another adapter to go on from, or begin with the base model."
    try:
        its = LoraConfig.from_pretrained(str(directory))
        for name in ("r", "lora_alpha", "target_modules"):
            theirs, asked = getattr(its, name), getattr(lora, name)
            if theirs != asked:
                shown = [sorted(x) if isinstance(x, set) else x for x in (asked, theirs)]
                raise EngineError(
                    BAD_CONFIG,
                    f"{name} is {shown[0]}, but the adapter to go on from has {shown[1]}.",
                    "Take over its settings.",
                )
        its.lora_dropout = lora.lora_dropout
        return PeftModel.from_pretrained(model, str(directory), config=its, is_trainable=True)
    except (ValueError, KeyError, OSError, RuntimeError, TypeError, SafetensorError) as error:
        if is_memory_error(error):
            raise
        raise EngineError(
            BAD_MODEL, f"The adapter to go on from cannot be loaded: {error}", advice
        ) from error


def trainer_tokenizer(directory: Path, renderer: Renderer):
    """Only so that the trainer has one; tokens come from rendering."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"))
    special = renderer.special_tokens
    # Padding is never attended to nor learned, so any token serves.
    tokenizer.eos_token = special.get("eos_token") or tokenizer.convert_ids_to_tokens(0)
    tokenizer.pad_token = special.get("pad_token") or tokenizer.eos_token
    return tokenizer


def adapter_tensors(model) -> dict[str, Any]:
    """The weights of the adapter that is trained, named as in PEFT's file; views, not copies.

    Of a model that is split over several processes they are put together: all of them have to ask.
    """
    from training.engine.sharding import whole

    return {name: whole(tensor) for name, tensor in _adapter_state(model).items()}


def _adapter_state(model) -> dict[str, Any]:
    from peft import get_peft_model_state_dict

    # The embeddings are never trained; "auto" would look for the base model on the hub.
    return get_peft_model_state_dict(model, adapter_name="default", save_embedding_layers=False)


def load_adapter_tensors(model, tensors: dict[str, Any]) -> None:
    """Puts the weights of an adapter of the same shape into `model`.

    Raises EngineError (bad_checkpoint) naming the first weight that one of the two lacks, or that is of another size.
    """
    from peft import set_peft_model_state_dict

    from training.engine.sharding import laid_out_as

    state = _adapter_state(model)
    own = {name: tuple(tensor.shape) for name, tensor in state.items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if own != given:
        name = min(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
        raise EngineError(
            BAD_CHECKPOINT,
            f"The adapter does not fit this training: {name} is {given.get(name)} instead of {own.get(name)}.",
            "Use the same size of adapter and the same parts of the model as the training that wrote it.",
        )
    laid_out = {name: laid_out_as(state[name], tensor) for name, tensor in tensors.items()}
    set_peft_model_state_dict(model, laid_out, adapter_name="default")


def needs_checkpointing(config: TrainingConfig, facts: BaseModelFacts, budget: int, is_bf16: bool) -> bool:
    """Whether activations are computed again instead of kept; `budget` is in tokens per pass."""
    if config.activation_checkpointing != "auto":
        return config.activation_checkpointing == "on"
    hardware = read_hardware()
    gpu = hardware.gpus[0] if hardware.gpus else None
    free = gpu.memory_free_bytes if gpu else hardware.memory_free_bytes
    return activation_bytes(facts, budget, is_bf16) > CHECKPOINTING_SHARE * free


def free_bytes(device: str) -> int:
    """The memory that could be taken now, in bytes: of the GPU in use, else of this machine.

    What this process holds and no longer needs is given back first.
    """
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]
    return read_hardware().memory_free_bytes


def peak_memory(device: str) -> int:
    """The most that was taken at once, in bytes: of the GPU where there is one, else of this process."""
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return peak_memory_of_process()
