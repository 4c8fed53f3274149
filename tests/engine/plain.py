"""Plain TRL and PEFT, as their manuals have it, on the rows of given steps: what our recipes are compared with."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset

from rendering import Renderer
from training.engine.comparisons import Marked, Pair
from training.engine.config import TrainingConfig
from training.engine.data import IGNORED, Example
from training.engine.loading import trainer_tokenizer


@dataclass(frozen=True)
class Plain:
    """What TRL's own trainer says: of each step its log, of the held-out rows what `evaluate` gives at the end."""

    steps: list[dict[str, float]]
    held_out: dict[str, float]


def train_plainly(
    method: str,
    steps: list[list[Any]],
    held_out: list[Any],
    *,
    model_dir: Path,
    output_dir: Path,
    config: TrainingConfig,
    start_dir: Path | None = None,
) -> Plain:
    """TRL's trainer on `steps`: each one, all of the same number of rows, is one batch, in that order."""
    renderer = Renderer.from_directory(model_dir)
    rows = [[_columns(row, renderer) for step in steps for row in step]]
    rows.append([_columns(row, renderer) for row in held_out])
    trainer_class, settings = _classes(method)
    args = settings(
        output_dir=str(output_dir),
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=len(steps[0]),
        per_device_eval_batch_size=len(held_out),
        gradient_accumulation_steps=1,
        num_train_epochs=1,
        train_sampling_strategy="sequential",
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=math.ceil(config.warmup_ratio * len(steps)),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        gradient_checkpointing=False,
        max_length=config.max_length,
        seed=config.seed,
        **_extra(method, config),
    )
    trainer = _trainer(trainer_class, args, rows, renderer, model_dir, config, start_dir)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    return Plain(logged, trainer.evaluate())


def _trainer(trainer_class, args, rows, renderer, model_dir, config, start_dir):
    train, held_out = (Dataset.from_list(part) for part in rows)
    model, adapter = _model(model_dir, config, start_dir)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    trainer = trainer_class(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=trainer_tokenizer(model_dir, renderer),
        peft_config=adapter,
    )
    if config.quantization == "nf4":
        # TRL rounds the adapter on a model in 4 bits to bf16; ours stays in fp32, and so it is compared.
        for name, parameter in trainer.model.named_parameters():
            if parameter.requires_grad:
                parameter.data = before[name]
    return trainer


def _columns(row: Example | Pair | Marked, renderer: Renderer) -> dict[str, Any]:
    def parts(example: Example) -> tuple[str, str]:
        at = next(place for place, label in enumerate(example.labels) if label != IGNORED)
        ids = example.input_ids
        return tuple(renderer.decode(part, skip_special_tokens=False) for part in (ids[:at], ids[at:]))

    if isinstance(row, Example):
        return {"input_ids": row.input_ids, "labels": row.labels}
    if isinstance(row, Pair):
        (prompt, chosen), (_, rejected) = parts(row.chosen), parts(row.rejected)
        return {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    prompt, completion = parts(row.example)
    return {"prompt": prompt, "completion": completion, "label": row.is_good}


def _classes(method: str):
    import trl

    if method == "orpo":
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        return ORPOTrainer, ORPOConfig
    return {
        "sft": (trl.SFTTrainer, trl.SFTConfig),
        "dpo": (trl.DPOTrainer, trl.DPOConfig),
        "kto": (trl.KTOTrainer, trl.KTOConfig),
    }[method]


def _extra(method: str, config: TrainingConfig) -> dict[str, Any]:
    if method == "dpo":
        smoothing = config.label_smoothing
        return {
            "beta": config.beta,
            "label_smoothing": smoothing,
            "loss_type": ["robust" if smoothing else "sigmoid"],
        }
    if method == "kto":
        weights = {
            "desirable_weight": config.desirable_weight,
            "undesirable_weight": config.undesirable_weight,
        }
        return {"beta": config.beta, **weights}
    return {"beta": config.beta} if method == "orpo" else {}


def _model(model_dir: Path, config: TrainingConfig, start_dir: Path | None):
    """(model, adapter to put on it). A fresh adapter is TRL's to make; one to go on from is there already."""
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig, set_seed

    squeezed = {}
    if config.quantization == "nf4":
        squeezed["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, **squeezed)
    if start_dir is not None:
        return PeftModel.from_pretrained(model, str(start_dir), is_trainable=True), None
    lora = LoraConfig(
        r=config.lora_r, lora_alpha=config.lora_alpha, lora_dropout=config.lora_dropout,
        target_modules=list(config.target_modules), task_type="CAUSAL_LM",
    )  # fmt: skip
    set_seed(config.seed)
    return (get_peft_model(model, lora), None) if squeezed else (model, lora)
