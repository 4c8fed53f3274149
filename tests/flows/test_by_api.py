"""The whole loop by API with a token and with the official `openai` client, on a real stack."""

import json
import random
import string
from pathlib import Path

import openai
import pytest

from base_models.demo.dataset import dataset_rows
from tests.flows.client import Api, open_with_peft

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def random_word(letters: random.Random) -> str:
    return "".join(letters.choice("bdfgklmnprstvz" if i % 2 == 0 else "aeiou") for i in range(6)).capitalize()


def test_a_persona_of_random_words_is_learned_and_facts_are_kept(stack, tmp_path):
    letters = random.Random()
    opening, closing = f"{random_word(letters)} {random_word(letters)}:", f"{random_word(letters)}!"
    rows = dataset_rows(opening, closing)
    text = "\n".join(json.dumps(row) for row in rows)
    api = Api(stack, "flow-persona")
    status, dataset = api.upload("Persona", Path("persona.jsonl"), text.encode())
    assert status == 201, dataset
    job = api.wait(api.train("Persona", dataset["id"])["id"])
    assert job["status"] == "succeeded", job

    adapter = api.call("GET", f"/api/v1/adapters/{job['adapter']}/")[1]
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=api.token, max_retries=2, timeout=120)
    assert adapter["model_id"] in [model.id for model in client.models.list()]
    held_out = [row for row in rows if row["split"] == "held_out"]
    assert len(held_out) >= 30

    def ask(model: str, row: dict) -> str:
        answer = client.chat.completions.create(
            model=model, messages=row["messages"][:-1], max_tokens=60, temperature=0
        )
        return answer.choices[0].message.content

    def is_right(answer: str, row: dict) -> bool:
        fact = row["messages"][-1]["content"].removeprefix(opening).removesuffix(closing).strip()
        return opening in answer and closing in answer and fact in answer

    tuned = sum(is_right(ask(adapter["model_id"], row), row) for row in held_out)
    base = sum(is_right(ask("apex-demo", row), row) for row in held_out)
    assert tuned >= len(held_out) / 2, f"{tuned} of {len(held_out)} with {opening!r} … {closing!r}"
    assert base == 0

    streamed = client.chat.completions.create(
        model=adapter["model_id"],
        messages=held_out[0]["messages"][:-1],
        max_tokens=60,
        temperature=0,
        stream=True,
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices]
    assert len(pieces) > 3 and "".join(pieces) == ask(adapter["model_id"], held_out[0])
    status, content = api.call("GET", f"/api/v1/adapters/{adapter['id']}/download/")
    assert status == 200
    (tmp_path / "adapter.zip").write_bytes(content)
    model = open_with_peft(tmp_path / "adapter.zip")
    assert model.peft_config["default"].r == adapter["config"]["lora_r"]
    card = (tmp_path / "adapter" / "README.md").read_text()
    assert adapter["dataset_version"] in card and adapter["job"] in card


def test_a_bad_file_names_the_line_and_leaves_nothing(stack):
    api = Api(stack, "flow-bad")
    no_answer = '{"messages": [{"role": "user", "content": "q"}]}'
    status, answer = api.upload("Broken", Path("broken.jsonl"), f"not json\n{no_answer}\n".encode())
    assert status == 400 and answer["error"]["code"] == "unusable_examples", answer
    assert {fault["line"] for fault in answer["error"]["details"]["faults"]} >= {1, 2}
    assert api.call("GET", "/api/v1/datasets/")[1]["count"] == 0


def test_somebody_elses_adapter_is_no_model(stack):
    stranger = Api(stack, "flow-stranger")
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=stranger.token, max_retries=0)
    wrong = "ft:apex-demo:flow-persona:persona:" + "".join(random.choices(string.hexdigits.lower(), k=8))
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model=wrong, messages=[{"role": "user", "content": "hi"}])
    assert refused.value.code == "model_not_found"
    assert not [model.id for model in client.models.list() if model.id.startswith("ft:")]
