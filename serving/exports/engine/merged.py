"""The merged model: safetensors that transformers, vLLM and others open, in one zip."""

from serving.exports.engine.asked import Asked, Made, Voice
from serving.exports.engine.merging import merge
from serving.exports.engine.packing import pack


def make(asked: Asked, voice: Voice) -> Made:
    folder = asked.folder / "merged"
    merge(asked, folder, voice)
    voice.step("packing", 75)
    target = asked.folder / f"{asked.name}-merged.zip"
    return Made(pack(folder, target, f"{asked.name}-merged"), target)
