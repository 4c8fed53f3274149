"""The whole of a minion, on a real stack and in a real browser: keys to OpenAI, Anthropic and an Ollama (local servers
that speak their protocols), documents, a trained adapter, a chat in which things go wrong, what is learned from it, and
its token in the official client."""

import json
import time
import uuid
from pathlib import Path

import openai
import pytest

from base_models.demo.dataset import dataset_rows
from tests.browser.test_journey import once_ready, sign_up
from tests.flows.client import Api
from tests.providers.fake_anthropic import FakeAnthropic
from tests.providers.fake_ollama import FakeOllama
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import KEY, Fault, running

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]

GATE = b"# The harbour gate\n\nThe harbour gate opens at six in the morning and closes at ten in the evening."
FERRY = b"# The ferry\n\nThe ferry to the island leaves at noon and comes back at four."


@pytest.fixture
def providers():
    with running(FakeOpenAI()) as first, running(FakeAnthropic()) as second, running(FakeOllama()) as third:
        first.answer = "The gate opens at six in the morning [1]."
        second.answer = "The second one says: at six."
        third.answer = "The third one says: at six."
        yield first, second, third


def may_go_to(stack, fakes) -> None:
    """The house lets its users' addresses lead to these servers of this very machine."""
    hosts = [fake.url.removeprefix("http://") for fake in fakes]
    stack.manage(
        "shell", "-v0", "-c",
        "from accounts.models import AllowedPlace; "
        f"[AllowedPlace.objects.get_or_create(what='host', place=host) for host in {hosts!r}]",
    )  # fmt: skip


def add_document(api: Api, base: str, name: str, content: bytes) -> None:
    boundary = uuid.uuid4().hex
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: text/markdown\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    path = f"/api/v1/knowledge-bases/{base}/documents/"
    status, made = api.call("POST", path, body, headers=kind)
    assert status in (201, 202), made
    deadline = time.monotonic() + 90
    while (found := api.call("GET", f"{path}{made['id']}/")[1])["status"] != "ready":
        assert time.monotonic() < deadline and found["status"] in ("queued", "reading"), found
        time.sleep(0.3)


def train_adapter(api: Api) -> str:
    text = "\n".join(json.dumps(row) for row in dataset_rows())
    _status, dataset = api.upload("Guide", Path("guide.jsonl"), text.encode())
    job = api.train("Guide", dataset["id"], max_steps=4, eval_steps=4, sample_count=0)
    api.wait(job["id"], lambda job: job["status"] == "succeeded")
    return api.call("GET", "/api/v1/adapters/")[1]["results"][0]["id"]


def add_keys(page, api: Api, providers) -> None:
    """Three keys, each leading to a place that the house allows: the first on its page, the others by the API; all
    pass their test."""
    first, second, third = providers
    page.goto("/settings/keys/add/?provider=openai")
    page.get_by_label("Name", exact=True).fill("team")
    page.get_by_label("Key", exact=True).fill(KEY)
    page.get_by_label("Another address").fill(first.url)
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Test it").click()
    page.get_by_text("OpenAI accepts the key").wait_for()
    assert KEY not in page.content()
    for provider, url in (("anthropic", second.url), ("ollama", third.url)):
        body = {"provider": provider, "name": "team", "key": KEY, "base_url": url}
        status, key = api.call("POST", "/api/v1/provider-keys/", body)
        assert status == 201 and KEY not in json.dumps(key), key
        tested = api.call("POST", f"/api/v1/provider-keys/{key['id']}/test/")[1]
        assert tested["works"], tested


def make_minion(api: Api) -> dict:
    status, base = api.call("POST", "/api/v1/knowledge-bases/", {"name": "Harbour", "embedding": "words"})
    assert status == 201, base
    add_document(api, base["id"], "gate.md", GATE)
    add_document(api, base["id"], "ferry.md", FERRY)
    chain = [
        {"provider": "openai", "model": "gpt-4o-mini", "retries": 0},
        {"provider": "anthropic", "model": "claude-haiku-4-5", "retries": 0},
        {"provider": "ollama", "model": "llama3.2"},
    ]
    status, minion = api.call("POST", "/api/v1/minions/", {
        "name": "Harbour master", "persona": "You know the harbour.", "mode": "hybrid", "adapter": train_adapter(api),
        "knowledge_bases": [base["id"]], "chain": chain, "style_tokens": 12,
    })  # fmt: skip
    assert status == 201, minion
    return minion


def ask(page, text: str, meanwhile=lambda: None) -> None:
    """Returns when the answer has ended and the page shows what was kept of it."""
    once_ready(page, page.get_by_label("Say something to Harbour master"))
    before = page.locator(".turn-answer[id]").count()
    page.get_by_label("Say something to Harbour master").fill(text)
    page.keyboard.press("Enter")
    meanwhile()
    page.wait_for_function(
        "before => document.querySelectorAll('.turn-answer[id]').length > before"
        " && !document.querySelector('[data-writing]')",
        arg=before,
        timeout=120_000,
    )


def test_a_minion_from_its_keys_to_what_is_learned_from_it(page, stack, providers):
    first, second, third = providers
    name = f"mina-{uuid.uuid4().hex[:6]}"
    sign_up(page, name)
    may_go_to(stack, providers)
    api = Api(stack, name)
    add_keys(page, api, providers)
    minion = make_minion(api)

    # 1. Three stages, each done, with what each was told
    page.goto("/minions/")
    page.get_by_role("button", name="Chat", exact=True).click()
    page.wait_for_url("**/chat/*/")
    page.wait_for_load_state("load")  # its script has run: Enter sends
    ask(page, "When does the harbour gate open?")
    answer = page.locator(".turn-answer").last
    assert answer.locator("[data-text]").inner_text() == first.answer
    # The first question names the conversation, at once and everywhere.
    assert page.locator("h1").inner_text() == "When does the harbour gate open?"
    assert (
        page.locator("[data-side] [aria-current]").inner_text().startswith("When does the harbour gate open?")
    )
    assert page.title().startswith("When does the harbour gate open?")
    assert answer.locator(".chip").inner_text() == "gpt-4o-mini"
    assert answer.locator(".why").inner_text() == "first in the chain"
    answer.get_by_role("button", name="How was this answered?").click()
    stages = answer.locator(".stage")
    stages.nth(2).wait_for()
    told = stages.all_inner_texts()
    assert len(told) == 3 and all("done" in each for each in told), told
    for words in ("What it learned", "gate.md", "first in the chain"):
        assert any(words in each for each in told), (words, told)
    body = first.seen[-1].body["messages"][0]["content"]
    assert "You know the harbour." in body and "closes at ten in the evening" in body and "<draft-" in body
    answer.locator("a.cite").click()
    assert answer.locator(".passages").get_attribute("open") is not None

    # 2. The first dies before its first word: the next one answers, and the page says so
    first.script.append(Fault(after=1, how="cut"))
    ask(page, "And when does it close?")
    answer = page.locator(".turn-answer").last
    assert answer.locator("[data-text]").inner_text() == second.answer
    assert answer.locator(".chip").inner_text() == "claude-haiku-4-5"
    assert answer.locator(".why").inner_text() == "openai/gpt-4o-mini failed (network)"
    assert "anthropic/claude-haiku-4-5 was asked in place of openai/gpt-4o-mini" in answer.inner_text()
    assert not third.seen[1:]  # the test of its key alone

    # 3. It dies in the middle: the answer is marked, and one click asks again
    first.script.append(Fault(after=5, how="cut"))
    ask(page, "When does the ferry leave?")
    answer = page.locator(".turn-answer").last
    answer.get_by_text("This answer broke off.").wait_for()
    assert "The gate opens" in answer.inner_text()
    answer.get_by_role("button", name="Try again").click()
    page.locator(".turn-answer").last.get_by_text("2 of 2").wait_for(timeout=60_000)
    answer = page.locator(".turn-answer").last
    assert answer.locator("[data-text]").inner_text() == first.answer
    assert answer.get_by_text("This answer broke off.").count() == 0

    # 4. Opinions become a dataset version, and the wizard opens with it
    answer = page.locator(".turn-answer").last
    answer.get_by_role("button", name="Good", exact=True).click()
    page.locator(".turn-answer").last.locator('[data-kind="good"][aria-pressed="true"]').wait_for()
    answer = page.locator(".turn-answer").first
    answer.get_by_role("button", name="Put right").click()
    answer.get_by_label("How should it have been?").fill("At six.")
    answer.get_by_role("button", name="Keep these words").click()
    page.get_by_text("Better, as you said it:").wait_for()
    page.goto(f"/minions/{minion['id']}/")
    page.get_by_role("button", name="Learn from 2 good answers").click()
    page.wait_for_url("**/teach/?dataset=*")
    sets = api.call("GET", "/api/v1/datasets/")[1]["results"]
    version = next(each["latest"] for each in sets if each["name"] == "Harbour master: good answers")
    assert (version["number"], version["verdict"], version["row_count"]) == (1, "accept", 2)
    dataset = next(each["id"] for each in sets if each["latest"] == version)
    rows = api.call("GET", f"/api/v1/datasets/{dataset}/rows/")[1]["results"]
    assert {row["messages"][-1]["content"] for row in rows} == {first.answer, "At six."}

    # 5. Its own token, in the official client
    page.goto(f"/minions/{minion['id']}/")
    page.get_by_role("button", name="Make its token").click()
    token = page.locator("#new-token-text").inner_text()
    client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=token, max_retries=0)
    said = client.chat.completions.create(
        model="Harbour master", messages=[{"role": "user", "content": "When does the gate open?"}]
    )
    assert said.choices[0].message.content == first.answer
    assert (said.apex["provider"], said.apex["model"]) == ("openai", "gpt-4o-mini") and said.apex["why"]
    assert [each["name"] for each in said.apex["citations"]][0] == "gate.md"
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="apex-demo", messages=[{"role": "user", "content": "Hi"}])

    # 6. On a phone
    page.set_viewport_size({"width": 390, "height": 800})
    for url in (f"/minions/{minion['id']}/", f"/minions/{minion['id']}/edit/", "/chat/"):
        page.goto(url)
        assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), url


def test_rows_are_moved_by_keyboard_and_a_dropped_file_is_used_after_a_switch(page, stack, providers):
    first, _second, _third = providers
    first.answer, first.thought = (
        "## Hours\n\n- at **six** [1]\n\n```\nring twice\n```",
        "They ask for the gate.",
    )
    name = f"mina-{uuid.uuid4().hex[:6]}"
    sign_up(page, name)
    may_go_to(stack, providers)
    api = Api(stack, name)
    key = {"provider": "custom", "name": "work", "key": KEY, "base_url": f"{first.url}/v1"}
    assert api.call("POST", "/api/v1/provider-keys/", key)[0] == 201

    # 1. Rows are added, moved and taken away without a save in between
    page.goto("/minions/new/")
    page.locator("#id_name").fill("Harbour master")
    rows = page.locator("[data-link]")
    for place, model in enumerate(("second", "gpt-4o-mini", "nobody")):
        if place:
            page.get_by_role("button", name="Add another outside model").press("Enter")
        rows.nth(place).locator("select").first.select_option(label="OpenAI-compatible server: work")
        rows.nth(place).get_by_label("Model").fill(model)
    rows.nth(1).get_by_role("button", name="Up").press("Enter")
    rows.nth(2).get_by_role("button", name="Remove").press("Enter")
    page.get_by_role("button", name="Make it").click()
    page.wait_for_url(lambda url: "/new/" not in url)
    (minion,) = api.call("GET", "/api/v1/minions/")[1]["results"]
    assert [link["model"] for link in minion["chain"]] == ["gpt-4o-mini", "second"]

    # 2. A dropped file becomes something to look up, once the minion may
    page.get_by_role("button", name="Chat", exact=True).click()
    page.wait_for_url("**/chat/*/")
    page.evaluate(
        """text => {
          const data = new DataTransfer();
          data.items.add(new File([text], "gate.md", { type: "text/markdown" }));
          const how = { dataTransfer: data, bubbles: true, cancelable: true };
          document.querySelector("[data-talk]").dispatchEvent(new DragEvent("drop", how));
        }""",
        GATE.decode(),
    )
    page.get_by_text("ready: 1 piece to look up").wait_for(timeout=60_000)
    page.get_by_role("button", name="Let it look things up").click()
    page.get_by_text("looks things up first").wait_for()

    # 3. It is shown to think while it does; then the answer stands as it is meant, with how it was thought beside it
    first.pause = 0.5

    def see_it_think():
        page.locator("[data-thinking]").get_by_text("Thinking…").wait_for()
        assert page.locator("[data-words]").inner_text() == ""
        first.pause = 0.0

    ask(page, "When does the gate open?", see_it_think)
    answer = page.locator(".turn-answer").last
    assert answer.locator("h4").inner_text() == "Hours" and answer.locator("a.cite").count() == 1
    assert answer.locator(".code pre").inner_text().strip() == "ring twice"
    assert "They ask for the gate." not in answer.locator("[data-text]").inner_text()
    answer.get_by_text("How it thought").click()
    answer.get_by_text("They ask for the gate.").wait_for()

    # 4. On a phone: what is seldom wanted is behind one button, which the keyboard opens, walks and shuts
    page.set_viewport_size({"width": 390, "height": 800})
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    more = page.locator(".menu > summary")
    begin = page.get_by_role("button", name="New conversation")
    assert more.bounding_box()["y"] == begin.bounding_box()["y"]
    more.press("Enter")
    for act in ("Rename…", "Delete…"):
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.textContent") == act
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name="Delete this conversation?").wait_for()
    page.keyboard.press("Escape")
    assert more.evaluate("each => each === document.activeElement && !each.parentElement.open")
