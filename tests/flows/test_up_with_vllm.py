"""`manage.py up` with a vLLM of its own: an adapter works on it, it is killed and back, and a stop ends all of it."""

import json
import os
import re
import signal
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest

from base_models.demo.dataset import dataset_rows
from tests.flows.client import Api
from tests.serving.real_vllm import PATIENCE_SECONDS, START_SECONDS, environment_dir
from tests.stack import ADMIN_PASSWORD, Stack, free_port

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.timeout(PATIENCE_SECONDS + 2 * START_SECONDS),
]
NODE = "vLLM of Apex"
ASK = {
    "messages": [{"role": "user", "content": "What is the capital of Turkey?"}],
    "max_tokens": 16,
    "temperature": 0,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """With a vLLM for the demo model, all of it ready."""
    stack = Stack(
        tmp_path_factory.mktemp("site"),
        APEX_VLLM_ENV=str(environment_dir()),
        APEX_VLLM_BASE_MODEL="apex-demo",
        APEX_VLLM_PORT=str(free_port()),
        APEX_VLLM_ADAPTERS="2",
        APEX_VLLM_CONTEXT="512",
    )
    try:
        yield stack.start(timeout=START_SECONDS)
    finally:
        stack.stop()  # fails where a process is left


@pytest.fixture(scope="module")
def adapter(site) -> tuple[Api, dict]:
    """Alice with an adapter that was really trained."""
    api = Api(site, "alice")
    rows = [{"messages": row["messages"]} for row in dataset_rows() if row["split"] == "train"][:40]
    text = "\n".join(json.dumps(row) for row in rows)
    status, dataset = api.upload("Facts", Path("facts.jsonl"), text.encode())
    assert status == 201, dataset
    job = api.wait(api.train("Facts", dataset["id"], max_steps=20)["id"])
    assert job["status"] == "succeeded", job
    return api, api.call("GET", f"/api/v1/adapters/{job['adapter']}/")[1]


def until(read, is_so, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not is_so(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def node_of(site) -> dict:
    admin = Api(site, "admin")
    return next(node for node in admin.call("GET", "/api/v1/nodes/")[1]["results"] if node["name"] == NODE)


def servers_page(site) -> str:
    """As the superuser sees it."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    page = opener.open(f"{site.url}/accounts/login/?next=/servers/", timeout=30).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    form = {"login": "admin", "password": ADMIN_PASSWORD, "csrfmiddlewaretoken": token, "next": "/servers/"}
    request = urllib.request.Request(
        f"{site.url}/accounts/login/", urlencode(form).encode(), {"Referer": f"{site.url}/accounts/login/"}
    )
    return opener.open(request, timeout=30).read().decode()


def chat(api: Api, model: str) -> tuple[str, str]:
    """The answer and its lineage."""
    request = urllib.request.Request(
        f"{api.url}/v1/chat/completions",
        json.dumps({"model": model, **ASK}).encode(),
        {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = json.loads(answer.read())["choices"][0]["message"]["content"]
        return text, answer.headers.get("X-Apex-Lineage", "")


def test_an_adapter_works_on_it_and_is_back_after_a_kill(site, adapter):
    api, facts = adapter
    node = until(lambda: node_of(site), lambda node: node["health"] == "up")
    assert (node["adapter_slots"], node["most_adapters"], node["base_model"]) == (3, 2, "apex-demo")

    # 1. The adapter goes to work on vLLM, and answers there with its lineage.
    status, deployment = api.call("POST", "/api/v1/deployments/", {"adapter": facts["id"]})
    assert status == 201, deployment
    address = f"/api/v1/deployments/{deployment['id']}/"
    found = until(lambda: api.call("GET", address)[1], lambda one: one["status"] in ("active", "refused"))
    assert found["status"] == "active", found["message"]
    assert found["parity"]["is_equal"] is True
    assert [(each["node"], each["state"]) for each in found["placements"]] == [(NODE, "loaded")]
    asked = site.log("vllm").count("POST /v1/chat/completions")
    text, lineage = chat(api, found["model_name"])
    assert text and f"adapter={facts['id']}" in lineage
    assert site.log("vllm").count("POST /v1/chat/completions") == asked + 1

    # 2. The page of servers tells of it.
    page = servers_page(site)
    assert NODE in page and "1 of 2" in page
    assert "base and 1 adapter asked at once: kept apart" in page

    # 3. Killed, it is started again by itself, and the adapter is back on it.
    number = site.pid("vllm")
    for process in [*psutil.Process(number).children(recursive=True), psutil.Process(number)]:
        os.kill(process.pid, signal.SIGKILL)
    site.wait_until(lambda: site.pid("vllm") != number, "another vLLM", 60)
    site.wait_until(lambda: site.processes()["vllm"]["is_ready"], "vLLM to be ready", START_SECONDS)
    asked = site.log("vllm").count("POST /v1/load_lora_adapter")
    until(lambda: site.log("vllm").count("POST /v1/load_lora_adapter"), lambda count: count >= max(asked, 2))
    until(lambda: chat(api, found["model_name"]), lambda answer: answer[0] == text)


def test_the_stop_leaves_nothing(site):
    site.note_processes()
    family = [*psutil.Process(site.pid("vllm")).children(recursive=True)]
    assert family  # the engine at least
    assert site.stop() == 0
    assert not [process for process in family if process.is_running()]
