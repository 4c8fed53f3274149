"""The peer of `bench.embedded`: plain transformers and PEFT, as their documentation shows them.

Reads one order a line: `make` adapters in the given directory, `write` answers, `load` adapters.
"""

import json
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from rendering import Renderer

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make(model_path: str, directory: Path, count: int) -> list[str]:
    """Paths of `count` adapters of rank 16 with random weights."""
    config = LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM")
    paths = []
    for number in range(count):
        torch.manual_seed(number)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(model_path), config)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if "lora_B" in name:
                    weight.normal_(0, 0.01)
        paths.append(str(directory / f"adapter{number}"))
        model.save_pretrained(paths[-1])
    return paths


def load_model(path: str):
    """The base model, to write until the limit whatever it says."""
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    model.generation_config.eos_token_id = None
    return model


def write(model, renderer: Renderer, questions: list[str], tokens: int) -> dict:
    """Tokens per second and the answers, one question after the other."""
    prompts = [
        renderer.render_prompt([{"role": "user", "content": question}]).token_ids for question in questions
    ]
    texts = []
    started = time.perf_counter()
    for prompt in prompts:
        ids = torch.tensor([prompt])
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens,
            do_sample=False, pad_token_id=0,
        )  # fmt: skip
        texts.append(renderer.decode(out[0, len(prompt) :].tolist()))
    return {"speed": len(questions) * tokens / (time.perf_counter() - started), "texts": texts}


def load(model: PeftModel, path: str, count: int) -> list[float]:
    """Seconds that each of `count` more adapters took."""
    seconds = []
    for number in range(count):
        started = time.perf_counter()
        model.load_adapter(path, adapter_name=f"more{number}")
        seconds.append(time.perf_counter() - started)
    return seconds


def main(model_path: str, directory: str) -> None:
    """Answers orders until standard input ends."""
    renderer = Renderer.from_directory(model_path)
    base = load_model(model_path)
    tuned = None
    paths: list[str] = []
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "make":
            paths = make(model_path, Path(directory), order["count"])
            tuned = PeftModel.from_pretrained(load_model(model_path), paths[0]).eval()
            said = {"adapters": paths}
        elif order["do"] == "write":
            model = base if order["adapter"] is None else tuned
            said = write(model, renderer, order["questions"], order["tokens"])
        else:
            said = {"seconds": load(tuned, paths[0], order["count"])}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
