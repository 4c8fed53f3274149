"""What the engine is measured against: `python -m bench.engine_peers trl|loop RUN.json` prints speed and loss.

Both are written as most people would write them, with the libraries' defaults where the task does not say
otherwise (settings of the engine, loss on the assistant's tokens).
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup, set_seed

from training.engine.config import TrainingConfig


def lora(config: TrainingConfig) -> LoraConfig:
    return LoraConfig(
        r=config.lora_r, lora_alpha=config.lora_alpha, lora_dropout=config.lora_dropout,
        target_modules=list(config.target_modules), task_type="CAUSAL_LM",
    )  # fmt: skip


def tokenized(tokenizer, rows: list[dict]) -> list[dict]:
    """input_ids and labels of each row, -100 where the assistant does not speak."""
    found = []
    for row in rows:
        encoded = tokenizer.apply_chat_template(
            row["messages"], return_dict=True, return_assistant_tokens_mask=True
        )
        pairs = zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
        found.append({"input_ids": encoded["input_ids"], "labels": [t if on else -100 for t, on in pairs]})
    return found


def collate(rows: list[dict]) -> dict[str, torch.Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)
    batch = {"input_ids": [], "attention_mask": [], "labels": []}
    for row in rows:
        rest = longest - len(row["input_ids"])
        batch["input_ids"].append(row["input_ids"] + [0] * rest)
        batch["attention_mask"].append([1] * len(row["input_ids"]) + [0] * rest)
        batch["labels"].append(row["labels"] + [-100] * rest)
    return {name: torch.tensor(values) for name, values in batch.items()}


def with_trl(directory: str, config: TrainingConfig, train: list[dict], steps: int):
    """(seconds of training, model) by SFTTrainer with its defaults for a CPU."""
    from datasets import Dataset
    from trl import SFTConfig as TrlConfig
    from trl import SFTTrainer

    with tempfile.TemporaryDirectory() as output:
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32),
            processing_class=AutoTokenizer.from_pretrained(directory),
            train_dataset=Dataset.from_list([{"messages": row["messages"]} for row in train]),
            peft_config=lora(config),
            args=TrlConfig(
                output_dir=output, use_cpu=True, bf16=False, report_to="none", save_strategy="no",
                assistant_only_loss=True, num_train_epochs=config.epochs, seed=config.seed,
                per_device_train_batch_size=config.batch_size,
                gradient_accumulation_steps=config.gradient_accumulation_steps,
                learning_rate=config.learning_rate, lr_scheduler_type="cosine",
                warmup_steps=config.warmup_ratio * steps,
            ),
        )  # fmt: skip
        begun = time.monotonic()
        trainer.train()
        return time.monotonic() - begun, trainer.model


def with_loop(directory: str, config: TrainingConfig, train: list[dict], steps: int):
    """(seconds of training, model) by a loop of one's own: shuffle, pad, accumulate, clip, step."""
    set_seed(config.seed)
    rows = tokenized(AutoTokenizer.from_pretrained(directory), train)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32), lora(config))
    model.train()
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(config.warmup_ratio * steps), steps)
    per_step = config.batch_size * config.gradient_accumulation_steps
    begun = time.monotonic()
    for _ in range(config.epochs):
        order = torch.randperm(len(rows)).tolist()
        for start in range(0, len(order), per_step):
            chosen = [rows[index] for index in order[start : start + per_step]]
            trained = sum(label != -100 for row in chosen for label in row["labels"][1:])
            for first in range(0, len(chosen), config.batch_size):
                batch = collate(chosen[first : first + config.batch_size])
                model(**batch, num_items_in_batch=trained).loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    return time.monotonic() - begun, model


@torch.no_grad()
def held_out_loss(model, rows: list[dict]) -> float:
    """Mean loss per trained token, in nats."""
    model.eval()
    total = count = 0
    for row in rows:
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
        targets = torch.tensor(row["labels"][1:])
        total += torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum").item()
        count += int((targets != -100).sum())
    return total / count


def main(name: str, path: str) -> None:
    run = json.loads(Path(path).read_text())
    config = TrainingConfig.from_dict(run["config"])
    rows = [json.loads(line) for line in Path(run["rows_path"]).read_text().splitlines()]
    train = [row for row in rows if row["split"] == "train"]
    tokenizer = AutoTokenizer.from_pretrained(run["base_model_dir"])
    tokens = config.epochs * sum(len(row["input_ids"]) for row in tokenized(tokenizer, train))
    steps = config.epochs * -(-len(train) // (config.batch_size * config.gradient_accumulation_steps))
    way = {"trl": with_trl, "loop": with_loop}[name]
    seconds, model = way(run["base_model_dir"], config, train, steps)
    held_out = tokenized(tokenizer, [row for row in rows if row["split"] == "held_out"])
    print(json.dumps({"speed": tokens / seconds, "loss": held_out_loss(model, held_out)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
