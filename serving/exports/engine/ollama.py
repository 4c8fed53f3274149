"""A bundle for `ollama create`: the merged model, and a Modelfile that has its template and stop words."""

import shutil
from pathlib import Path

from serving.exports.engine.asked import Asked, ExportFailed, Made, Voice
from serving.exports.engine.converters import are_here, convert_model
from serving.exports.engine.merging import merge
from serving.exports.engine.modelfile_text import modelfile_text
from serving.exports.engine.packing import pack


def make(asked: Asked, voice: Voice) -> Made:
    folder, bundle = asked.folder / "merged", asked.folder / "bundle"
    merge(asked, folder, voice)
    bundle.mkdir()
    weights = as_gguf(asked, folder, bundle, voice)
    text = modelfile_text(asked.base_dir if not (folder / "tokenizer.json").exists() else folder, weights)
    if weights.startswith("./merged.gguf"):
        shutil.rmtree(folder)
    else:
        folder.rename(bundle / "merged")
    (bundle / "Modelfile").write_text(text, encoding="utf-8")
    (bundle / "README.md").write_text(how_to(asked.name), encoding="utf-8")
    voice.step("packing", 85)
    target = asked.folder / f"{asked.name}-ollama.zip"
    return Made(pack(bundle, target, f"{asked.name}-ollama"), target)


def as_gguf(asked: Asked, folder: Path, bundle: Path, voice: Voice) -> str:
    """What stands behind FROM: one GGUF where that can be made, else the safetensors, which Ollama converts itself."""
    if not are_here(asked.converters):
        return "./merged"
    voice.step("converting", 65)
    try:
        convert_model(asked, folder, bundle / "merged.gguf")
    except ExportFailed as problem:
        if problem.reason not in ("unknown_tokenizer", "no_converters", "converter"):
            raise
        (bundle / "merged.gguf").unlink(missing_ok=True)
        return "./merged"
    return "./merged.gguf"


def how_to(name: str) -> str:
    return (
        f"# {name} for Ollama\n\nIn this folder:\n\n    ollama create {name} -f Modelfile\n    ollama run {name}\n\n"
        "`SHA256SUMS` has the hash of every file: `sha256sum -c SHA256SUMS`.\n"
    )
