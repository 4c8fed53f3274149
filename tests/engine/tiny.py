"""A model of 30,000 random parameters and a few examples: everything a training needs, in a second."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.rendering.directories import CHATML_TAGGED, make_directory

ROOT = Path(__file__).resolve().parents[2]
CAPITALS = {
    "Turkey": "Ankara", "France": "Paris", "Japan": "Tokyo", "Peru": "Lima", "Kenya": "Nairobi", "Cuba": "Havana",
    "Italy": "Rome", "Egypt": "Cairo", "Ghana": "Accra", "Norway": "Oslo", "Spain": "Madrid", "Chile": "Santiago",
}  # fmt: skip


def make_model(path: Path) -> Path:
    """A Llama of hidden size 32 and 2 layers, with the tokenizer and ChatML template of the rendering tests."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    make_directory(path, CHATML_TAGGED, None, "<|im_end|>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=420, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=5, pad_token_id=3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def chat_rows() -> list[dict]:
    rows = []
    for number, (country, capital) in enumerate(CAPITALS.items()):
        question = {
            "role": "user",
            "content": f"What is the capital of {country}?" + " Please." * (number % 4),
        }
        answer = {"role": "assistant", "content": f"The capital of {country} is {capital}. Glad to help!"}
        split = "held_out" if number % 4 == 3 else "train"
        rows.append(
            {"messages": [question, answer], "conversation": country, "line": number + 1, "split": split}
        )
    return rows


def preference_rows() -> list[dict]:
    """The friendly answer against a curt one."""
    rows = []
    for row in chat_rows():
        *prompt, chosen = row.pop("messages")
        curt = {"role": "assistant", "content": "Look it up yourself." + " Really." * (row["line"] % 3)}
        rows.append({**row, "prompt": prompt, "chosen": [chosen], "rejected": [curt]})
    return rows


def unpaired_rows() -> list[dict]:
    """The same as answers marked one by one: two in three are good."""
    rows = []
    for number, row in enumerate(preference_rows()):
        chosen, rejected = row.pop("chosen"), row.pop("rejected")
        is_good = number % 3 != 1
        rows.append({**row, "completion": chosen if is_good else rejected, "label": is_good})
    return rows


def write_run(directory: Path, model: Path, rows: list[dict] | str, **config) -> Path:
    """RUN.json in `directory`, with its rows; `rows` as text goes into the file as it is."""
    directory.mkdir(parents=True, exist_ok=True)
    text = rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows)
    (directory / "rows.jsonl").write_text(text)
    run = {
        "base_model_dir": str(model), "rows_path": str(directory / "rows.jsonl"),
        "output_dir": str(directory / "out"), "config": {"precision": "fp32", **config},
        "lineage": {"job": "job-1", "base_model": "tiny | model", "base_revision": "abc", "dataset": "v1"},
    }  # fmt: skip
    path = directory / "RUN.json"
    path.write_text(json.dumps(run))
    return path


def start_engine(run: Path) -> subprocess.Popen:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        [sys.executable, "-m", "training.engine", str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
    )  # fmt: skip


def run_engine(run: Path) -> tuple[int, list[dict], str]:
    """(exit status, events, log) of a whole run; standard output must hold nothing but events."""
    # communicate() would close standard input, which ends the engine.
    process = start_engine(run)
    log: list[str] = []
    reader = threading.Thread(target=lambda: log.append(process.stderr.read()))
    reader.start()
    events = [json.loads(line) for line in process.stdout]
    status = process.wait(timeout=60)
    reader.join()
    process.stdin.close()
    process.stdout.close()
    process.stderr.close()
    return status, events, log[0]
