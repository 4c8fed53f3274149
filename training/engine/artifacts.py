"""What is left of a training: a directory that PEFT opens, whole or not there at all."""

import copy
import importlib.metadata
import json
import shutil
from pathlib import Path
from typing import Any

ADAPTER = "adapter"
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "safetensors", "tokenizers")
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
)


def library_versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def write_adapter_files(
    model, tensors: dict[str, Any], directory: Path, base_name: str, base_revision: str | None
) -> None:
    """Leaves adapter_model.safetensors with `tensors` and adapter_config.json in `directory`, as PEFT writes them."""
    from safetensors.torch import save_file

    kept = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(kept, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    config = copy.copy(model.peft_config["default"])
    config.inference_mode = True
    config.save_pretrained(directory)
    _name_base_model(directory / "adapter_config.json", base_name, base_revision)


def write_adapter(
    model,
    tensors: dict[str, Any],
    *,
    output_dir: Path,
    base_model_dir: Path,
    run: dict[str, Any],
    metrics: dict,
    parity: dict[str, Any],
) -> Path:
    """Writes `output_dir/adapter` and returns it.

    Holds adapter_model.safetensors, adapter_config.json, the base's tokenizer and chat template, README.md,
    metrics.json, apex-run.json (`run`: config, plan, lineage, library versions) and parity.json. Everything is
    written beside it and on disk before the directory takes its name.
    """
    from training.engine.checkpoints import whole_directory

    target = output_dir / ADAPTER
    base_name = run["lineage"].get("base_model") or base_model_dir.name
    with whole_directory(target) as draft:
        write_adapter_files(model, tensors, draft, base_name, run["lineage"].get("base_revision"))
        for name in TOKENIZER_FILES:
            if (base_model_dir / name).is_file():
                shutil.copyfile(base_model_dir / name, draft / name)
        (draft / "README.md").write_text(model_card(run, metrics, base_name), encoding="utf-8")
        write_json(draft / "metrics.json", metrics)
        write_json(draft / "apex-run.json", run)
        write_json(draft / "parity.json", parity)
    return target


# How each method learns, in the words of a model card.
HOW = {
    "sft": "LoRA fine-tuning, with loss on the assistant's tokens only",
    "dpo": "LoRA on comparisons (DPO): better answers against worse ones",
    "orpo": "LoRA on comparisons (ORPO): better answers imitated, and preferred to worse ones",
    "kto": "LoRA on answers marked as good or bad (KTO)",
}


def card_top(method: str) -> list[str]:
    """The first lines of a model card, which programs read."""
    tags = ["tags:", "- lora", f"- {method}"]
    return ["---", "library_name: peft", "pipeline_tag: text-generation", *tags, "---", ""]


def loss_words(method: str) -> str:
    """What the loss of a method counts."""
    return "loss per token (nats)" if method == "sft" else "loss"


def model_card(run: dict[str, Any], metrics: dict, base_name: str) -> str:
    """The README of an adapter, with where it comes from; `base_name` as in adapter_config.json."""
    method, lineage = run["method"], run["lineage"]
    base = "4 bits (nf4)" if run["config"].get("quantization") == "nf4" else ""
    start = lineage.get("start_adapter")
    lines = [
        *card_top(method),
        f"# An adapter for {base_name}",
        "",
        f"Trained with Apex by {HOW[method]}."
        + (f" The base model was kept in {base} meanwhile." if base else "")
        + (f" It went on from the adapter {cell(start)}." if start else ""),
        "",
        "## How well it learned",
        "",
        f"| | {loss_words(method)} |",
        "|---|---|",
        f"| held-out examples, at the beginning | {_number(metrics['eval_loss_base'])} |",
        f"| held-out examples, with this adapter | {_number(metrics['eval_loss'])} |",
        f"| training examples, last steps | {_number(metrics['train_loss'])} |",
        "",
        f"{metrics['steps']} steps, {metrics['tokens']:,} tokens, {metrics['seconds']:.0f} seconds.",
        "",
    ]
    for title, values in (
        (
            "Where it comes from",
            {
                "base_model": base_name,
                **{name: value for name, value in lineage.items() if value is not None},
            },
        ),
        ("Examples", run["examples"]),
        ("Settings", run["config"]),
        ("Steps", run["plan"]),
        ("Library versions", run["library_versions"]),
    ):
        lines += [f"## {title}", "", "| | |", "|---|---|"]
        lines += [f"| {cell(name)} | {cell(value)} |" for name, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def cell(value: Any) -> str:
    """A value that cannot break the table it stands in."""
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return " ".join(text.replace("|", "\\|").split())


def _name_base_model(path: Path, name: str, revision: str | None) -> None:
    """A path of this machine would mean nothing elsewhere, so the base model goes by its name."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = name
    config["revision"] = revision
    write_json(path, config)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
