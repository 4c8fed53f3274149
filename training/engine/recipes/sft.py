"""Supervised fine-tuning of a LoRA adapter, from rows to a directory that PEFT opens."""

import dataclasses
import math
import resource
import time
from pathlib import Path
from typing import Any

from rendering import Renderer, RenderError
from rendering.model_facts import BaseModelFacts, read_model_facts
from training.engine.config import SftConfig
from training.engine.data import Examples, read_examples
from training.engine.errors import BAD_CONFIG, BAD_MODEL, EngineError
from training.engine.estimate import activation_bytes
from training.engine.hardware import read_hardware, training_threads, usable_cpus
from training.engine.plan import FittedPlan, fit_to_data, tokens_per_pass
from training.engine.progress import Reporter

# Recomputing activations costs a third of the speed, so only where they would take most of the memory.
CHECKPOINTING_SHARE = 0.5
PLACES_NAMED = 10


def run_sft(run: dict[str, Any], config: SftConfig, reporter: Reporter) -> None:
    """Trains and reports from `started` to `finished`.

    `run` is what RUN.json holds. Raises EngineError for whatever a person can mend; other errors are ours.
    """
    # 1. Look at the model and the examples before anything heavy is imported: most mistakes show here.
    base_model_dir, output_dir = Path(run["base_model_dir"]), Path(run["output_dir"])
    facts = read_model_facts(base_model_dir)
    try:
        renderer = Renderer.from_directory(base_model_dir)
    except RenderError as error:
        raise EngineError(BAD_MODEL, str(error), "Choose a base model with a chat template.") from error
    max_length = min(config.max_length, facts.context or config.max_length)
    examples = read_examples(run["rows_path"], renderer, max_length)
    _report_left_out(examples, max_length, reporter)
    plan = fit_to_data(config, len(examples.train))
    longest = max(len(example.input_ids) for example in [*examples.train, *examples.held_out])

    # 2. Load the base model and put an adapter on it.
    import torch
    from transformers import PrinterCallback, set_seed

    device = "cuda" if torch.cuda.is_available() else "cpu"
    budget = tokens_per_pass(plan, longest, is_gpu=device == "cuda")
    threads = training_threads(facts.parameters, usable_cpus())
    torch.set_num_threads(threads)
    # Numbers next to zero take a CPU many times as long, and change no result that is shown.
    torch.set_flush_denormal(True)
    set_seed(config.seed)
    is_bf16 = _is_bf16(config, device)
    model = _load_model(base_model_dir, device, is_bf16)
    model = _add_adapter(model, config)
    if device == "cpu" and not is_bf16:
        from training.engine.cpu_lora import use_cpu_lora

        use_cpu_lora(model)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

    # 3. Build the trainer around them.
    from training.engine.batches import Steps
    from training.engine.trainer import StepTrainer
    from training.engine.watcher import Watcher

    watcher = Watcher(reporter, plan, config.learning_rate, examples.held_out, budget)
    trainer = StepTrainer(
        steps=Steps(examples.train, plan.rows_per_step, budget, config.seed),
        model=model,
        args=_trainer_settings(
            config, plan, output_dir, device, is_bf16, _needs_checkpointing(facts, budget, is_bf16)
        ),
        processing_class=_tokenizer(base_model_dir, renderer),
        callbacks=[watcher],
    )
    watcher.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    reporter.report(
        "started",
        total_steps=plan.total_steps,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        gradient_accumulation_steps=plan.gradient_accumulation_steps,
        train_rows=len(examples.train),
        held_out_rows=len(examples.held_out),
        shortened_rows=examples.shortened_rows,
        dropped_turns=examples.dropped_turns,
        cut_tokens=examples.cut_tokens,
        trainable_parameters=trainable,
        device=_device_name(device, threads),
    )

    # 4. Train. The watcher reports every step and checks the held-out rows, at step 0 on the untouched base.
    begun = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - begun

    # 5. Write the adapter with its history, then say so.
    from training.engine.artifacts import library_versions, write_adapter

    metrics = watcher.summary(seconds)
    versions = library_versions()
    history = {
        "config": config.to_dict(),
        "plan": dataclasses.asdict(plan),
        "lineage": run.get("lineage") or {},
        "examples": {
            "train_rows": len(examples.train),
            "held_out_rows": len(examples.held_out),
            "shortened_rows": examples.shortened_rows,
            "dropped_turns": examples.dropped_turns,
            "cut_tokens": examples.cut_tokens,
            "rows_left_out": len(examples.too_long),
            "max_length": max_length,
        },
        "precision": "bf16" if is_bf16 else "fp32",
        "library_versions": versions,
    }
    adapter_dir = write_adapter(
        model, output_dir=output_dir, base_model_dir=base_model_dir, run=history, metrics=metrics
    )
    told = {name: value for name, value in metrics.items() if name != "history"}
    reporter.report(
        "finished",
        adapter_dir=str(adapter_dir),
        **told,
        peak_memory_bytes=_peak_memory(device),
        library_versions=versions,
    )


def _report_left_out(examples: Examples, max_length: int, reporter: Reporter) -> None:
    count = len(examples.too_long)
    if not count:
        return
    named = ", ".join(examples.too_long[:PLACES_NAMED]) + (", …" if count > PLACES_NAMED else "")
    what = "1 example is" if count == 1 else f"{count} examples are"
    reporter.report(
        "log",
        message=f"{what} left out: the last question and answer alone are longer than {max_length} tokens ({named}).",
    )


def _is_bf16(config: SftConfig, device: str) -> bool:
    """auto: where matrix multiplication in bf16 is in the hardware; elsewhere it would be slower."""
    import torch

    if config.precision != "auto":
        return config.precision == "bf16"
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_amx_tile_supported()


def _load_model(directory: Path, device: str, is_bf16: bool):
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


def _add_adapter(model, config: SftConfig):
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


def _tokenizer(directory: Path, renderer: Renderer):
    """Only so that the trainer has one; tokens come from rendering."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"))
    special = renderer.special_tokens
    # Padding is never attended to nor learned, so any token serves.
    tokenizer.eos_token = special.get("eos_token") or tokenizer.convert_ids_to_tokens(0)
    tokenizer.pad_token = special.get("pad_token") or tokenizer.eos_token
    return tokenizer


def _trainer_settings(config: SftConfig, plan: FittedPlan, output_dir, device, is_bf16, needs_checkpointing):
    from trl import SFTConfig as TrlConfig

    return TrlConfig(
        output_dir=str(output_dir),
        use_cpu=device == "cpu",
        bf16=is_bf16,
        fp16=False,
        max_steps=plan.total_steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=math.ceil(config.warmup_ratio * plan.total_steps),
        weight_decay=config.weight_decay,
        seed=config.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        eval_strategy="no",
        remove_unused_columns=False,
        max_length=None,
        gradient_checkpointing=needs_checkpointing,
        dataset_kwargs={"skip_prepare_dataset": True},
        dataloader_pin_memory=False,
    )


def _needs_checkpointing(facts: BaseModelFacts, budget: int, is_bf16: bool) -> bool:
    hardware = read_hardware()
    gpu = hardware.gpus[0] if hardware.gpus else None
    free = gpu.memory_free_bytes if gpu else hardware.memory_free_bytes
    return activation_bytes(facts, budget, is_bf16) > CHECKPOINTING_SHARE * free


def _device_name(device: str, threads: int) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else f"cpu ({threads} of {usable_cpus()} cores)"


def _peak_memory(device: str) -> int:
    """The most that was taken at once, in bytes: of the GPU where there is one, else of this process."""
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    # The kernel counts in KiB.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
