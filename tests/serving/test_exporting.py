"""What the child makes, without Django: merged models, bundles, and what it says when it cannot."""

import hashlib
import io
import json
import shutil
import zipfile

import pytest

from rendering import Renderer
from serving.backends.modelfile import read_modelfile
from serving.exports.engine import __main__ as child
from serving.exports.engine import converters, merging, modelfile_text, with_known_tokenizer
from serving.exports.engine.asked import Asked, ExportFailed, Voice
from tests.serving.adapters import DEMO
from tests.serving.tiny import CHATML

QUESTIONS = [[5, 40, 41, 42, 60], [70, 71, 72], [33, 99, 100, 101, 102, 103, 104]]


def asked(tiny, folder, kind="merged", **more) -> Asked:
    folder.mkdir(exist_ok=True)
    return Asked(kind, tiny["one"], tiny["base"], folder, "coach-1234", **more)


def said(asked: Asked) -> list[dict]:
    """All that the child says while it makes this, in this process."""
    out = io.StringIO()
    child.run(asked, Voice(out, io.StringIO()))
    return [json.loads(line) for line in out.getvalue().splitlines()]


def greedy(model) -> list[list[int]]:
    import torch

    answers = []
    for question in QUESTIONS:
        given = model.generate(
            input_ids=torch.tensor([question]),
            attention_mask=torch.ones(1, len(question), dtype=torch.long),
            max_new_tokens=16,
            do_sample=False,
            pad_token_id=0,
        )
        answers.append(given[0, len(question) :].tolist())
    return answers


@pytest.fixture(scope="module")
def merged(tiny, tmp_path_factory):
    """The last word about a merged model, and its files unpacked."""
    folder = tmp_path_factory.mktemp("merged")
    made = said(asked(tiny, folder))
    with zipfile.ZipFile(made[-1]["file"]) as archive:
        archive.extractall(folder / "unpacked")
    return made, folder / "unpacked" / "coach-1234-merged"


def test_the_merged_model_answers_as_base_and_adapter_do_together(merged, tiny):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny["base"])
    alone = greedy(base)
    together = greedy(PeftModel.from_pretrained(base, tiny["one"]))
    found = greedy(AutoModelForCausalLM.from_pretrained(merged[1]))
    assert found == together
    assert found != alone


def test_every_file_comes_with_its_checksum_and_the_words_to_talk_in(merged, tiny):
    events, folder = merged
    assert [each["name"] for each in events[:-1]] == ["loading", "merging", "writing", "packing"]
    progress = [each["progress"] for each in events[:-1]]
    assert progress == sorted(progress)
    told = {each["name"]: each for each in events[-1]["files"]}
    assert {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"} <= set(told)
    for name, each in told.items():
        content = (folder / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (each["size"], each["sha256"])
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: each["sha256"] for name, each in told.items()}
    assert Renderer.from_directory(folder).template == Renderer.from_directory(tiny["base"]).template


def test_a_base_that_is_kept_in_four_bits_is_not_merged_into(tiny, tmp_path):
    shutil.copytree(tiny["base"], tmp_path / "base")
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    wanted = Asked("merged", tiny["one"], tmp_path / "base", tmp_path, "x")
    assert said(wanted)[-1]["reason"] == "quantised_base"


def test_a_full_disk_is_told_in_words(tiny, tmp_path, monkeypatch):
    def full(*arguments, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merging, "copy_words", full)
    last = said(asked(tiny, tmp_path / "work"))[-1]
    assert (last["event"], last["reason"]) == ("failed", "disk_full")
    assert "disk" in last["message"] and last["advice"]


# --- Ollama -------------------------------------------------------------------------------------------------
LLAMA3 = (
    "<|im_start|>{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
WITH_DEFAULT = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are kind.<|im_end|>\n{% endif %}"
    + CHATML
)
ODD = (
    "{% for m in messages %}[{{ loop.index }}] {{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}answer: {% endif %}"
)


def with_template(tiny, folder, template: str):
    shutil.copytree(tiny["base"], folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings | {"chat_template": template, "bos_token": "<|im_start|>"})
    )
    return folder


@pytest.mark.parametrize("template", [CHATML, LLAMA3, WITH_DEFAULT])
def test_a_template_for_ollama_says_what_the_chat_template_says(template, tiny, tmp_path):
    renderer = Renderer.from_directory(with_template(tiny, tmp_path / "model", template))
    found = modelfile_text.find_turns(renderer)
    assert found is not None
    for messages in modelfile_text.conversations():
        whole = renderer.render_text(messages, add_generation_prompt=True)
        assert found.text(messages) == (whole.removeprefix("<|im_start|>") if template == LLAMA3 else whole)
    assert found.go().count("{{ end }}") == (3 if found.default else 2)


def test_a_template_that_does_more_is_left_to_ollama(tiny, tmp_path):
    folder = with_template(tiny, tmp_path / "model", ODD)
    text = modelfile_text.modelfile_text(folder, "./merged")
    assert 'TEMPLATE "' not in text and modelfile_text.LEFT_OUT in text


def test_without_converters_the_bundle_has_safetensors_and_reads_as_a_modelfile(tiny, tmp_path):
    made = said(asked(tiny, tmp_path / "work", "ollama"))[-1]
    assert made["event"] == "made", made
    with zipfile.ZipFile(made["file"]) as archive:
        archive.extractall(tmp_path / "here")
    bundle = tmp_path / "here" / "coach-1234-ollama"
    read = read_modelfile((bundle / "Modelfile").read_text(), bundle)
    assert "model.safetensors" in read.files and "config.json" in read.files
    assert read.parameters == {"stop": ["<|im_end|>"], "num_ctx": 512}
    assert read.template.endswith("<|im_start|>assistant\n")
    assert (
        '{{ range .Messages }}{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>'
        in read.template
    )


# --- llama.cpp ----------------------------------------------------------------------------------------------
CONVERTER = """
import json, pathlib, sys
given = dict(zip(sys.argv[1::1], sys.argv[2::1]))
assert given["--outtype"] == "q8_0"
assert (pathlib.Path(sys.argv[1]) / "{looks_for}").is_file(), sys.argv
pathlib.Path(given["--outfile"]).write_bytes(b"GGUF" + json.dumps(sys.argv[1:]).encode())
"""


@pytest.fixture
def llama_cpp(tmp_path):
    """A folder with programs of the names and arguments of llama.cpp's converters."""
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    (folder / converters.MODEL).write_text(CONVERTER.replace("{looks_for}", "model.safetensors"))
    (folder / converters.ADAPTER).write_text(CONVERTER.replace("{looks_for}", "adapter_model.safetensors"))
    return folder


def told_of(folder) -> dict:
    import sys

    return {"converters": str(folder), "python": sys.executable, "options": {"type": "q8_0"}}


def test_a_gguf_is_made_by_the_converters_and_listed_with_its_checksum(tiny, tmp_path, llama_cpp):
    made = said(asked(tiny, tmp_path / "work", "gguf", **told_of(llama_cpp)))[-1]
    assert made["event"] == "made", made
    assert made["file"].endswith("coach-1234-q8_0.gguf") and not (tmp_path / "work" / "merged").exists()
    with open(made["file"], "rb") as file:
        assert made["files"][0]["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()


def test_the_adapter_alone_becomes_a_gguf_beside_its_base(tiny, tmp_path, llama_cpp):
    made = said(asked(tiny, tmp_path / "work", "adapter_gguf", **told_of(llama_cpp)))[-1]
    with open(made["file"], "rb") as file:
        arguments = json.loads(file.read().removeprefix(b"GGUF"))
    assert arguments[:3] == [str(tiny["one"]), "--base", str(tiny["base"])]


def test_the_bundle_has_the_gguf_first_where_it_can_be_made(tiny, tmp_path, llama_cpp):
    made = said(asked(tiny, tmp_path / "work", "ollama", **told_of(llama_cpp)))[-1]
    with zipfile.ZipFile(made["file"]) as archive:
        assert archive.read("coach-1234-ollama/Modelfile").startswith(b"FROM ./merged.gguf\n")
        assert "coach-1234-ollama/merged.gguf" in archive.namelist()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise NotImplementedError('BPE pre-tokenizer was not recognized')", "unknown_tokenizer"),
        ("raise OSError(28, 'No space left on device')", "disk_full"),
        ("import no_such_module_here", "no_converters"),
        ("raise SystemExit('the model is odd')", "converter"),
    ],
)
def test_what_a_converter_says_becomes_a_reason(script, reason, tiny, tmp_path, llama_cpp):
    (llama_cpp / converters.ADAPTER).write_text(script)
    last = said(asked(tiny, tmp_path / "work", "adapter_gguf", **told_of(llama_cpp)))[-1]
    assert (last["event"], last["reason"]) == ("failed", reason)


def test_without_converters_it_says_how_to_get_them(tiny, tmp_path):
    for kind in ("gguf", "adapter_gguf"):
        last = said(asked(tiny, tmp_path / kind, kind))[-1]
        assert last["reason"] == "no_converters" and "APEX_LLAMA_CPP_DIR" in last["advice"]


def test_only_a_tokenizer_that_says_so_itself_is_taken_for_gpt2s(tmp_path):
    class Converter:
        """As llama.cpp's `TextModel` where it meets a tokenizer that it does not know."""

        def __init__(self, directory):
            self.dir_model = directory

        def get_vocab_base_pre(self, tokenizer):
            if tokenizer == "known":
                return "llama-bpe"
            raise NotImplementedError("BPE pre-tokenizer was not recognized")

    with_known_tokenizer.teach(Converter)
    assert Converter(DEMO).get_vocab_base_pre("known") == "llama-bpe"
    assert Converter(DEMO).get_vocab_base_pre("new") == "gpt-2"
    content = json.loads((DEMO / "tokenizer.json").read_text())
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [content["pre_tokenizer"]]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(NotImplementedError):
        Converter(tmp_path).get_vocab_base_pre("new")


def test_llama_cpps_own_converters_do_it(tiny, tmp_path):
    """With the real ones, where somebody has said where they are."""
    import os
    import sys

    where = os.environ.get("APEX_LLAMA_CPP_DIR", "")
    if not converters.are_here(where):
        pytest.skip("APEX_LLAMA_CPP_DIR names no llama.cpp")
    how = {"converters": where, "python": os.environ.get("APEX_LLAMA_CPP_PYTHON") or sys.executable}
    for kind in ("gguf", "adapter_gguf"):
        made = said(asked(tiny, tmp_path / kind, kind, **how))[-1]
        assert made["event"] == "made", made
        with open(made["file"], "rb") as file:
            assert file.read(4) == b"GGUF"


def test_a_kind_that_fails_is_never_taken_for_made(tiny, tmp_path):
    (tmp_path / "work").mkdir()
    broken = Asked("merged", tmp_path / "nowhere", tiny["base"], tmp_path / "work", "x")
    events = said(broken)
    assert events[-1]["event"] == "failed" and not any(each["event"] == "made" for each in events)
    assert isinstance(child.explain(ExportFailed("a", "b")), ExportFailed)
