"""The adapter alone as GGUF: `llama-server -m BASE.gguf --lora ADAPTER.gguf`."""

from serving.exports.engine.asked import Asked, Made, Voice
from serving.exports.engine.converters import convert_adapter
from serving.exports.engine.packing import listed_file


def make(asked: Asked, voice: Voice) -> Made:
    voice.step("converting", 20)
    target = asked.folder / f"{asked.name}-lora-{asked.options.get('type', 'f16')}.gguf"
    convert_adapter(asked, target)
    return Made([listed_file(target, target.name)], target)
