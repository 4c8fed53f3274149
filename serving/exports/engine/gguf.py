"""The merged model as one GGUF file, for llama.cpp and what is built on it."""

import shutil

from serving.exports.engine.asked import Asked, ExportFailed, Made, Voice
from serving.exports.engine.converters import HOW_TO_GET, are_here, convert_model
from serving.exports.engine.merging import merge
from serving.exports.engine.packing import listed_file


def make(asked: Asked, voice: Voice) -> Made:
    if not are_here(asked.converters):  # before anything long is begun
        raise ExportFailed(
            "no_converters", "The converters of llama.cpp are not on this machine.", HOW_TO_GET
        )
    folder = asked.folder / "merged"
    merge(asked, folder, voice)
    voice.step("converting", 65)
    target = asked.folder / f"{asked.name}-{asked.options.get('type', 'f16')}.gguf"
    convert_model(asked, folder, target)
    shutil.rmtree(folder)
    return Made([listed_file(target, target.name)], target)
