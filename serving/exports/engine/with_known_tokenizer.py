"""`python with_known_tokenizer.py LLAMA_CPP SCRIPT …`: runs a converter of llama.cpp.

The converters know byte-level tokenizers by a fingerprint of their vocabulary, so one that was trained anew is unknown
to them although it splits text just as GPT-2 does. Where its own file says so, that is what they are told. Everything
else is as llama.cpp wrote it; a llama.cpp without that place to tell it runs as it is.
"""

import json
import runpy
import sys
from pathlib import Path

# tokenizers' ByteLevel with its own pattern is GPT-2's; llama.cpp calls that "gpt-2".
SPLITS_LIKE_GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


def splits_like_gpt2(model_dir) -> bool:
    try:
        content = json.loads((Path(model_dir) / "tokenizer.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    split = content.get("pre_tokenizer") or {}
    return content.get("normalizer") is None and SPLITS_LIKE_GPT2.items() <= split.items()


def teach(text_model) -> None:
    known = text_model.get_vocab_base_pre

    def get_vocab_base_pre(self, tokenizer):
        try:
            return known(self, tokenizer)
        except NotImplementedError:
            if splits_like_gpt2(self.dir_model):
                return "gpt-2"
            raise

    text_model.get_vocab_base_pre = get_vocab_base_pre


def main() -> None:
    directory, script, *arguments = sys.argv[1:]
    sys.path.insert(0, directory)
    sys.path.insert(1, str(Path(directory) / "gguf-py"))
    try:
        from conversion.base import TextModel
    except ImportError as problem:
        if (problem.name or "").split(".")[0] != "conversion":  # what it needs is missing: it says so itself
            print(f"the tokenizer cannot be looked at: {problem}", file=sys.stderr)
    else:
        teach(TextModel)
    sys.argv = [str(Path(directory) / script), *arguments]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
