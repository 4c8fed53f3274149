"""Supervised fine-tuning of a LoRA adapter, from rows to a directory that PEFT opens."""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

from rendering import Renderer, RenderError
from rendering.model_facts import read_model_facts
from training.engine.config import TrainingConfig
from training.engine.control import Control
from training.engine.data import Examples, read_examples
from training.engine.errors import BAD_MODEL, EngineError
from training.engine.hardware import training_threads, usable_cpus
from training.engine.loading import (
    add_adapter,
    device_name,
    load_model,
    needs_checkpointing,
    peak_memory,
    trainer_tokenizer,
)
from training.engine.loading import (
    is_bf16 as computes_in_bf16,
)
from training.engine.plan import FittedPlan, fit_to_data, tokens_per_pass
from training.engine.progress import Reporter

PLACES_NAMED = 10


def run(run: dict[str, Any], config: TrainingConfig, reporter: Reporter, control: Control) -> None:
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
    is_bf16 = computes_in_bf16(config, device)
    model = load_model(base_model_dir, device, is_bf16)
    model = add_adapter(model, config)
    if device == "cpu" and not is_bf16:
        from training.engine.cpu_lora import use_cpu_lora

        use_cpu_lora(model)
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)

    # 3. Build the trainer around them.
    from training.engine.batches import Steps
    from training.engine.sft_watcher import Watcher
    from training.engine.trainer import StepTrainer

    watcher = Watcher(reporter, plan, config.learning_rate, examples.held_out, budget)
    trainer = StepTrainer(
        steps=Steps(examples.train, plan.rows_per_step, budget, config.seed),
        model=model,
        args=_trainer_settings(
            config, plan, output_dir, device, is_bf16, needs_checkpointing(facts, budget, is_bf16)
        ),
        processing_class=trainer_tokenizer(base_model_dir, renderer),
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
        device=device_name(device, threads),
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
        peak_memory_bytes=peak_memory(device),
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


def _trainer_settings(
    config: TrainingConfig, plan: FittedPlan, output_dir, device, is_bf16, needs_checkpointing
):
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
