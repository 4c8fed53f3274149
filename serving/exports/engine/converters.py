"""llama.cpp's own converters to GGUF, each run as a program of its own."""

import subprocess
from pathlib import Path

from serving.exports.engine.asked import Asked, ExportFailed
from training.engine.errors import DISK_WORDS, MEMORY_WORDS

MODEL, ADAPTER = "convert_hf_to_gguf.py", "convert_lora_to_gguf.py"
SHIM = Path(__file__).with_name("with_known_tokenizer.py")
# What the scripts take as --outtype, the usual one first; "auto" would leave the file without a name for what it is.
ADAPTER_TYPES = ("f16", "bf16", "f32", "q8_0")
TYPES = (*ADAPTER_TYPES, "tq1_0", "tq2_0")
HOW_TO_GET = (
    "Whoever runs Apex gets them with “git clone --depth 1 https://github.com/ggml-org/llama.cpp” and sets "
    "APEX_LLAMA_CPP_DIR to that folder."
)
TAIL = 2000  # characters


def are_here(directory: str) -> bool:
    return bool(directory) and all((Path(directory) / name).is_file() for name in (MODEL, ADAPTER))


def convert_model(asked: Asked, model_dir: Path, target: Path) -> Path:
    """A directory of transformers as one GGUF file."""
    return convert(asked, MODEL, [model_dir], target)


def convert_adapter(asked: Asked, target: Path) -> Path:
    """The adapter alone as GGUF; whoever runs it has the base as GGUF too."""
    return convert(asked, ADAPTER, [asked.adapter_dir, "--base", asked.base_dir], target)


def convert(asked: Asked, script: str, arguments: list, target: Path) -> Path:
    if not are_here(asked.converters):
        raise ExportFailed(
            "no_converters", "The converters of llama.cpp are not on this machine.", HOW_TO_GET
        )
    kind = asked.options.get("type", TYPES[0])
    command = [
        asked.python,
        SHIM,
        asked.converters,
        script,
        *arguments,
        "--outfile",
        target,
        "--outtype",
        kind,
    ]
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0 or not target.is_file():
        raise failure(script, done)
    return target


def failure(script: str, done: subprocess.CompletedProcess) -> ExportFailed:
    said = done.stderr.strip() or done.stdout.strip()
    last = (said.splitlines() or ["nothing"])[-1][:300]
    low = said.lower()
    if any(words in low for words in DISK_WORDS):
        return ExportFailed("disk_full", f"The disk became full while {script} wrote.", "Free some space.")
    if done.returncode == -9 or any(words in low for words in MEMORY_WORDS):
        return ExportFailed(
            "out_of_memory", f"The memory was not enough for {script}.", "Stop something else, and try again."
        )
    if "pre-tokenizer was not recognized" in said:
        return ExportFailed(
            "unknown_tokenizer",
            "llama.cpp does not know the tokenizer of this base model, so it cannot become a GGUF.",
            "Take the merged model as safetensors, or a newer llama.cpp.",
        )
    if "No module named" in last:
        return ExportFailed(
            "no_converters",
            f"The converters of llama.cpp cannot run: {last}.",
            "Install what they need beside them, or name a Python that has it in APEX_LLAMA_CPP_PYTHON.",
        )
    return ExportFailed(
        "converter", f"{script} ended with code {done.returncode}: {last}", "Take the model as safetensors."
    )
