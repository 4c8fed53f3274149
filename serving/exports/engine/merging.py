"""Base model and adapter made one model, by PEFT's own merge."""

import json
import shutil
from pathlib import Path

from serving.exports.engine.asked import Asked, ExportFailed, Voice
from training.engine.artifacts import TOKENIZER_FILES

LARGEST_FILE = "5GB"


def merge(asked: Asked, target: Path, voice: Voice) -> None:
    """Writes the merged model to the new folder `target`: safetensors, config, tokenizer, chat template, a card.

    The base is read whole and in the precision in which it is kept, whatever the training kept it in: an adapter that
    was trained in 4 bits is added to the unquantised weights. Each sum is computed in fp32 and rounded once.
    """
    refuse_quantised(asked.base_dir)
    voice.step("loading", 5)
    import torch
    from peft import PeftModel
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        base = AutoModelForCausalLM.from_pretrained(
            asked.base_dir, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype="auto"
        )
        model = PeftModel.from_pretrained(base, str(asked.adapter_dir))
    except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ExportFailed(
            "bad_model",
            f"The base model and the adapter cannot be loaded together: {error}",
            "Look whether the base model on this machine is still the one that it was trained on.",
        ) from error
    voice.step("merging", 30)
    with torch.no_grad():
        try:
            merged = model.merge_and_unload(safe_merge=True)
        except ValueError as error:  # what PEFT says of a sum that is no number
            raise ExportFailed(
                "broken_adapter", f"The adapter cannot be merged: {error}", "Train it again."
            ) from error
    voice.step("writing", 50)
    merged.save_pretrained(target, max_shard_size=LARGEST_FILE)
    copy_words(asked, target)


def refuse_quantised(base_dir: Path) -> None:
    config = json.loads((base_dir / "config.json").read_text(encoding="utf-8"))
    if config.get("quantization_config"):
        raise ExportFailed(
            "quantised_base",
            f"The base model {base_dir.name} is itself kept quantised, and a sum with it would be too coarse.",
            "Export the adapter alone, or train on the unquantised base model.",
        )


def copy_words(asked: Asked, target: Path) -> None:
    """Tokenizer and chat template as they were trained with, and where the model comes from."""
    for name in TOKENIZER_FILES:
        source = asked.adapter_dir / name
        if not source.is_file():
            source = asked.base_dir / name
        if source.is_file():
            shutil.copyfile(source, target / name)
    card = asked.adapter_dir / "README.md"
    if card.is_file():
        # It is a whole model now, which programs read from these lines.
        text = card.read_text(encoding="utf-8").replace("library_name: peft", "library_name: transformers", 1)
        text = text.replace("# An adapter for", "# Merged: an adapter and", 1)
        (target / "README.md").write_text(text, encoding="utf-8")
    if (run := asked.adapter_dir / "apex-run.json").is_file():
        shutil.copyfile(run, target / run.name)
