"""Make the demo base model: `python -m base_models.demo.build` (about a quarter of an hour on two cores).

1. corpus: Python's documentation (`prose.py`) and dialogues about `facts.py` (`dialogues.py`), seeded
2. byte-level BPE tokenizer of 4,096 tokens
3. pretraining of a Llama of 2.5 million parameters on the CPU
4. check: it must answer nine of ten facts, else nothing is written
5. safetensors, configuration, tokenizer, model card and `apex.json` into `model/`
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

# Threads that wait by spinning make training several times slower when anything else runs on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from base_models.demo import pretrain
from base_models.demo.card import model_card
from base_models.demo.dialogues import make_dialogues
from base_models.demo.facts import FACTS
from base_models.demo.prose import prose
from base_models.demo.tokenizer import PAD_ID, TURN_END_ID, train_tokenizer

MODEL_DIR = Path(__file__).parent / "model"
VOCABULARY = 4096
SEED = 20
PROSE_EVERY = 2  # every second text: facts need the time more than prose does
LORA_INPUTS, LORA_INNER = 64.0, 8.0  # powers of two: the folded model computes exactly the same

APEX = {
    "name": "apex-demo",
    "display_name": "Apex demo",
    "description": (
        "A very small language model made for trying Apex out. It knows a few hundred plain facts, answers in one "
        "sentence, and learns a new style within a minute on an ordinary computer. It is not made for real work."
    ),
    "licence": "Apache-2.0",
    "context": pretrain.CONTEXT,
    "recommended_config": {"learning_rate": 3e-4},
}


def main(arguments: list[str] | None = None) -> int:
    """Build the model; 0 when it was written, 1 when it came out too weak to be kept."""
    parser = argparse.ArgumentParser(
        prog="python -m base_models.demo.build", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--output", type=Path, default=MODEL_DIR, help="directory to write (default: %(default)s)"
    )
    parser.add_argument("--dialogues", type=int, default=26_000, help="how many to learn from (%(default)s)")
    parser.add_argument(
        "--prose-passes", type=int, default=1, help="times over the documentation (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of everything random (%(default)s)")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()

    texts = prose()[::PROSE_EVERY]
    dialogues = make_dialogues(chosen.dialogues, chosen.seed)
    spoken = [turn.text for turns in make_dialogues(4_000, chosen.seed + 1) for turn in turns]
    tokenizer = train_tokenizer(texts + spoken, size=VOCABULARY, context=pretrain.CONTEXT)
    examples = [pretrain.encode_dialogue(tokenizer, turns) for turns in dialogues]
    for number in range(chosen.prose_passes):
        examples += pretrain.encode_prose(tokenizer, texts, chosen.seed + number)
    tokens = sum(len(example.ids) for example in examples)
    say(f"{len(texts)} texts, {len(dialogues)} dialogues, {tokens:,} tokens")

    model = pretrain.new_model(len(tokenizer), chosen.seed)
    loss = pretrain.train(model, examples, seed=chosen.seed, say=say)
    pretrain.fold_for_lora(model, LORA_INPUTS, LORA_INNER)
    right, asked = recall(model, tokenizer)
    say(f"knows {right} of {asked} facts")
    figures = {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "tokens": tokens,
        "minutes": round((time.monotonic() - began) / 60, 1),
        "learning_rate": pretrain.LEARNING_RATE,
        "batch_tokens": pretrain.BATCH_TOKENS,
        "loss": round(loss["dialogues"], 3),
        "facts": asked,
        "facts_right": right,
        "torch": torch.__version__,
        "python": sys.version.split()[0],
    }
    if right < 0.9 * asked:
        say("too weak to be kept: nothing was written")
        return 1
    save(model, tokenizer, chosen.output, figures)
    say(f"written to {chosen.output} after {figures['minutes']} minutes")
    return 0


def say(text: str) -> None:
    print(text, flush=True)


@torch.no_grad()
def answers(model, tokenizer, questions: list[str], *, new_tokens: int = 32) -> list[str]:
    """The model's greedy answer to each question asked alone."""
    found = []
    for question in questions:
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        output = model.generate(
            **inputs,
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=TURN_END_ID,
            pad_token_id=PAD_ID,
        )
        found.append(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    return found


def recall(model, tokenizer, seed: int = 0) -> tuple[int, int]:
    """How many facts, each asked in one random way, are answered with exactly their sentence: (right, asked)."""
    rng = random.Random(seed)
    said = answers(model, tokenizer, [rng.choice(fact.questions) for fact in FACTS])
    return sum(answer == fact.sentence for answer, fact in zip(said, FACTS, strict=True)), len(FACTS)


def save(model, tokenizer, output: Path, figures: dict) -> None:
    """Write everything to a new directory beside `output` first, then move the files into place."""
    output.mkdir(parents=True, exist_ok=True)
    model.generation_config.update(
        do_sample=False, eos_token_id=TURN_END_ID, pad_token_id=PAD_ID, max_new_tokens=128
    )
    with tempfile.TemporaryDirectory(dir=output.parent) as name:
        made = Path(name)
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        (made / "apex.json").write_text(json.dumps(APEX, indent=2) + "\n", encoding="utf-8")
        (made / "README.md").write_text(model_card(APEX, figures), encoding="utf-8")
        for path in made.iterdir():
            path.chmod(0o644)
            path.replace(output / path.name)


if __name__ == "__main__":
    sys.exit(main())
