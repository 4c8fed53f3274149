"""The demo model as it is committed: small, safe, knows its facts, and marks what the assistant says."""

import json
import random

import pytest

from base_models.demo import build
from base_models.demo.facts import FACTS
from base_models.demo.tokenizer import TURN_END_ID
from rendering.template import compile_template

CONVERSATION = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "What is the capital of Turkey?"},
    {"role": "assistant", "content": "The capital of Turkey is Ankara."},
    {"role": "user", "content": "Thank you"},
    {"role": "assistant", "content": "You are welcome."},
]


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(build.MODEL_DIR)


@pytest.fixture(scope="module")
def model():
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(build.MODEL_DIR)


def test_it_is_small_and_has_no_file_that_could_run_code():
    files = list(build.MODEL_DIR.iterdir())
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".md"}
    assert "auto_map" not in json.loads((build.MODEL_DIR / "config.json").read_text())


def test_what_the_catalogue_reads_is_there():
    about = json.loads((build.MODEL_DIR / "apex.json").read_text())
    config = json.loads((build.MODEL_DIR / "config.json").read_text())
    assert about == build.APEX
    assert about["context"] == config["max_position_embeddings"] >= 2048
    card = (build.MODEL_DIR / "README.md").read_text()
    for word in ("Data", "Licence", "Recipe", "Limits"):
        assert f"## {word}" in card


def test_it_answers_nine_of_ten_facts(model, tokenizer):
    asked = random.Random(7).sample(FACTS, 40)
    said = build.answers(
        model, tokenizer, [random.Random(fact.subject).choice(fact.questions) for fact in asked]
    )
    assert sum(answer == fact.sentence for answer, fact in zip(said, asked, strict=True)) >= 36


def test_its_loss_stays_sane_at_the_end_of_the_context(model):
    import torch

    ids = torch.randint(3, len(FACTS), (1, 2048), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    assert torch.isfinite(logits).all()


def test_the_template_says_the_same_in_transformers_and_in_our_own_renderer(tokenizer):
    theirs = tokenizer.apply_chat_template(CONVERSATION, tokenize=False)
    assert compile_template(tokenizer.chat_template).render(messages=CONVERSATION) == theirs
    assert theirs.startswith("<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\n")


def test_the_mask_covers_what_the_assistant_says_and_its_end_of_turn(tokenizer):
    made = tokenizer.apply_chat_template(CONVERSATION, return_assistant_tokens_mask=True, return_dict=True)
    learned = [token for token, mask in zip(made["input_ids"], made["assistant_masks"], strict=True) if mask]
    assert tokenizer.decode(learned) == "The capital of Turkey is Ankara.<|im_end|>You are welcome.<|im_end|>"
    assert learned.count(TURN_END_ID) == 2 and tokenizer.eos_token_id == TURN_END_ID
