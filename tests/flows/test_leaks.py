"""Planted secrets of every kind are used on a whole running Apex, also where things go wrong, and then looked for in
all that it has written down, keeps or shows."""

import base64
import json
import secrets
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from accounts.models import User
from minions.models import Minion
from providers.models import ProviderKey
from serving.models import Node
from tests.flows import looking
from tests.flows.client import Api, Browser
from tests.flows.looking import Needles
from tests.providers.fake_anthropic import FakeAnthropic
from tests.providers.fake_openai import FakeOpenAI
from tests.providers.fakes import Fault, running
from tests.stack import ADMIN_PASSWORD, TRACKER_KEY

pytestmark = [pytest.mark.stack, pytest.mark.slow]
MODELS = {
    "openai": "gpt-4o-mini",
    "anthropic": "claude-haiku-4-5",
    "nvidia": "meta/llama-3.1-8b-instruct",
    "huggingface": "owner/model:groq",
}
# Shapes that are known, and one that nobody would take for a key.
BEGINNINGS = {"openai": "sk-proj-", "anthropic": "sk-ant-", "nvidia": "", "huggingface": "hf_"}
HELLO = [{"role": "user", "content": "Hello?"}]
OLDER = ("key of a tracker", "password of the admin", "key of sessions")  # than this test


def a_secret(beginning: str = "") -> str:
    """With characters that addresses and pages write in another way."""
    return f"{beginning}{secrets.token_hex(8)}+/{secrets.token_hex(8)}=&{secrets.token_hex(4)}"


class Planted:
    """Everything secret that this test makes, by what it is; and who uses it."""

    def __init__(self, stack, fakes: dict):
        self.stack, self.fakes = stack, fakes
        self.words = {f"key of {name}": a_secret(BEGINNINGS[name]) for name in fakes if name != "server"}
        for name, fake in fakes.items():
            fake.key = self.words.get(f"key of {name}", "")
        self.words |= {
            "password": a_secret("Pw"),
            "wrong password": a_secret("Pw"),
            "password in the field of the name": a_secret("Pw"),
            "key of a server": a_secret(),
            "token of a connection": a_secret(),
            "wrong token": "apex_" + secrets.token_hex(20),
            "wrong token of a minion": "minion_" + secrets.token_hex(16),
            "key typed into a form with a fault": a_secret(),
            "key of a tracker": TRACKER_KEY,
            "password of the admin": ADMIN_PASSWORD,
        }
        self.seen = f"Seen{secrets.token_hex(6)}"  # what everybody may see
        self.needles = Needles({})

    def call(self, api, method: str, path: str, body=None, *, status: int | tuple = (200, 201, 202), **more):
        """By the API, its answer looked at; a token that is shown once is planted instead."""
        code, answer = api.call(method, path, body, **more)
        codes = (status,) if isinstance(status, int) else status
        assert code in codes, f"{method} {path}: {code} {answer}"
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        if not path.endswith(("/token/", "/share-links/")):
            self.needles.look(f"api {method} {path}", text)
        return answer

    def begin_again(self) -> Needles:
        """With the words that have come since; what was found stays."""
        hits, self.needles = self.needles.hits, Needles(self.words)
        self.needles.hits |= hits
        return self.needles


@pytest.fixture
def fakes(stack):
    """Stand-ins where this Apex asks its providers, and a server of models."""
    made = {name: FakeAnthropic() if name == "anthropic" else FakeOpenAI(name) for name in MODELS}
    with ExitStack() as open_ones:
        for name, fake in made.items():
            open_ones.enter_context(running(fake, stack.provider_ports[name]))
        made["server"] = open_ones.enter_context(running(FakeOpenAI()))
        yield made


def echoes(key: str) -> list[Fault]:
    """Refusals that hold the key, as many ways as servers have been seen to do so, and some that they have not."""
    packed = base64.b64encode(f"Bearer {key}".encode()).decode()
    said = [
        {
            "error": {
                "message": f"Incorrect API key provided: {key}.",
                "code": "invalid_api_key",
                "param": key,
            }
        },
        {
            "error": {
                "message": f"header Authorization: Bearer {key} is wrong",
                "type": key,
                "code": f"x-{key}",
            }
        },
        {"error": f"https://example.org/?key={quote(key, safe='')}&again=1"},
        {"detail": [{"loc": ["header", key], "msg": f"Basic {packed}"}]},
        f"<html><body>401 {key} <a href='/{packed}'>help</a></body></html>",
        f"in hex {key.encode().hex()}",
    ]
    return [Fault(401, body) for body in said]


def use_keys(plan: Planted, alice: Api, root: Api) -> dict[str, str]:
    """Keys by the API and by their pages, tested well and with every echo; the id of each."""
    found = {}
    for name in MODELS:
        api = root if name == "huggingface" else alice
        body = {"provider": name, "name": plan.seen, "key": plan.words[f"key of {name}"]}
        key = found[name] = plan.call(api, "POST", "/api/v1/provider-keys/", body)["id"]
        path = f"/api/v1/provider-keys/{key}/"
        assert plan.call(api, "POST", f"{path}test/")["works"], name
        plan.call(api, "GET", f"{path}models/")
        for fault in echoes(body["key"]):
            plan.fakes[name].script.append(fault)
            assert not plan.call(api, "POST", f"{path}test/")["works"], fault
    plan.call(root, "PATCH", f"/api/v1/provider-keys/{found['huggingface']}/", {"is_shared": True})
    refused = {"provider": "openai", "name": "", "key": plan.words["key typed into a form with a fault"]}
    plan.call(alice, "POST", "/api/v1/provider-keys/", refused | {"base_url": "http://x"}, status=400)
    return found


def add_knowledge(plan: Planted, alice: Api) -> tuple[str, str]:
    """A base whose vectors a provider makes, with a document, searched well and in vain."""
    wanted = {
        "name": plan.seen,
        "embedding": "provider",
        "provider": "openai",
        "model": "text-embedding-3-small",
    }
    base = plan.call(alice, "POST", "/api/v1/knowledge-bases/", wanted)["id"]
    path = f"/api/v1/knowledge-bases/{base}/"
    first = upload(plan, alice, path, f"The gate of {plan.seen} opens at six.")
    ended(plan, alice, first, "ready")
    assert plan.call(alice, "POST", f"{path}search/", {"question": "When?"})["passages"]
    plan.fakes["openai"].script.extend(echoes(plan.words["key of openai"])[:2])
    plan.call(alice, "POST", f"{path}search/", {"question": "When?"}, status=400)
    ended(plan, alice, upload(plan, alice, path, "Another gate."), "refused", "crashed", "queued")
    return base, first.rstrip("/").rpartition("/")[2]


def upload(plan: Planted, alice: Api, path: str, text: str) -> str:
    """The document's address."""
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{mark[:6]}.txt"\r\n'
    body = f"{head}Content-Type: text/plain\r\n\r\n{text}\r\n--{mark}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    return f"{path}documents/{plan.call(alice, 'POST', f'{path}documents/', body, headers=kind)['id']}/"


def ended(plan: Planted, alice: Api, path: str, *statuses: str) -> None:
    deadline = time.monotonic() + 60
    while (found := plan.call(alice, "GET", path))["status"] not in statuses or (
        found["status"] == "queued" and not found["message"]
    ):
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def use_minion(plan: Planted, alice: Api, base: str) -> dict[str, str]:
    """A minion asked at every door, by its own token too, while its providers answer, refuse and break off."""
    chain = [{"provider": name, "model": model, "retries": 0} for name, model in MODELS.items()]
    wanted = {"name": plan.seen, "mode": "rag_only", "chain": chain, "knowledge_bases": [base]}
    minion = plan.call(alice, "POST", "/api/v1/minions/", wanted)["id"]
    path = f"/api/v1/minions/{minion}/"
    token = plan.call(alice, "POST", f"{path}token/")["token"]
    plan.words["token of the minion"] = token
    plan.begin_again()
    program = Api.with_token(plan.stack, token)
    asked = {"model": plan.seen, "messages": HELLO}
    assert plan.call(program, "POST", "/v1/chat/completions", asked)["choices"]
    plan.call(program, "GET", "/v1/models", status=401)
    plan.call(program, "GET", path)

    for name in MODELS:  # none answers, and each says its key
        plan.fakes[name].script.append(echoes(plan.words[f"key of {name}"])[0])
    plan.fakes["openai"].script.appendleft(echoes(plan.words["key of openai"])[1])  # the look-up
    plan.call(program, "POST", "/v1/chat/completions", asked, status=502)
    echo = {"error": {"message": f"no more for {plan.words['key of openai']}", "type": "server_error"}}
    plan.call(alice, "PATCH", path, {"mode": "provider_only"})
    plan.fakes["openai"].script.append(Fault(after=4, how="error", body=echo))
    plan.call(program, "POST", "/v1/chat/completions", asked | {"stream": True})
    conversation = plan.call(alice, "POST", "/api/v1/conversations/", {"minion": minion})["id"]
    said = {"message": plan.seen, "conversation": conversation}
    message = plan.call(alice, "POST", f"{path}chat/", said)["message"]
    budget = {"limit": 0.0000001, "scope": "minion", "minion": minion, "name": plan.seen}
    made = plan.call(alice, "POST", "/api/v1/budgets/", budget)["id"]
    plan.call(program, "POST", "/v1/chat/completions", asked, status=429)
    return {
        "minion_id": minion, "api-minion": minion, "conversation_id": conversation, "api-conversation": conversation,
        "message_id": message, "api-message": message, "budget_id": made, "api-budget": made,
    }  # fmt: skip


def use_the_rest(plan: Planted, alice: Api, root: Api) -> dict[str, str]:
    """A connection, a link for guests, a server of models that says its key, tokens that are none."""
    token = {"token": plan.words["token of a connection"]}
    wanted = {
        "name": plan.seen,
        "kind": "https",
        "endpoint_url": "https://nowhere.invalid/",
        "credentials": token,
    }
    connection = plan.call(alice, "POST", "/api/v1/connections/", wanted)["id"]
    plan.call(
        alice, "POST", f"/api/v1/connections/{connection}/try/", {"uri": "https://nowhere.invalid/x.jsonl"}
    )
    rows = "\n".join(
        json.dumps({"messages": [*HELLO, {"role": "assistant", "content": f"Hi {n}"}]}) for n in range(9)
    )
    status, dataset = alice.upload(plan.seen, Path("rows.jsonl"), rows.encode())
    assert status == 201, dataset
    link = plan.call(alice, "POST", f"/api/v1/datasets/{dataset['id']}/share-links/", {"label": plan.seen})
    plan.words["token of a link"] = link["url"].rstrip("/").rpartition("/")[2]
    assert Browser(plan.stack).get(f"/{link['url'].split('/', 3)[3]}")[0] == 200

    key = plan.words["key of a server"]
    plan.fakes["server"].key = "another one"  # so that it says ours
    node = {"name": plan.seen, "backend": "openai_compatible", "address": f"{plan.fakes['server'].url}/v1",
            "base_model": "apex-demo", "api_key": key}  # fmt: skip
    node = plan.call(root, "POST", "/api/v1/nodes/", node)["id"]
    plan.stack.wait_until(
        lambda: any(seen.headers.get("authorization") == f"Bearer {key}" for seen in plan.fakes["server"].seen),
        "the server to be asked", 30,
    )  # fmt: skip
    for what in ("wrong token", "wrong token of a minion"):
        wrong = Api.with_token(plan.stack, plan.words[what])
        for path in ("/v1/models", "/api/v1/minions/", "/api/v1/tokens/"):
            plan.call(wrong, "GET", path, status=401)
        plan.call(wrong, "POST", "/v1/chat/completions", {"model": "x", "messages": HELLO}, status=401)
    return {
        "connection_id": connection, "api-connection": connection, "dataset_id": dataset["id"],
        "api-dataset": dataset["id"], "number": 1, "api-node": node, "node_id": node,
    }  # fmt: skip


def test_no_planted_secret_is_in_anything_that_apex_writes_keeps_or_shows(stack, fakes):
    begun, plan = time.time() - 1, Planted(stack, fakes)
    name = f"leaks-{secrets.token_hex(3)}"
    with looking.overheard(stack) as heard:
        # 1. People, by the pages: an account, and words that go into the wrong field.
        browser = Browser(stack).sign_up(name, plan.words["password"])
        stranger = Browser(stack).log_in(name, plan.words["wrong password"])
        stranger.log_in(plan.words["password in the field of the name"], "x")
        alice, root = Api(stack, name), Api(stack, "admin")
        plan.words |= {"token of the owner": alice.token, "token of the admin": root.token}
        plan.begin_again()

        # 2. Everything is used, well and badly, before and after the master key is another one.
        keys = use_keys(plan, alice, root)
        base, document = add_knowledge(plan, alice)
        mine = use_minion(plan, alice, base) | use_the_rest(plan, alice, root)
        mine |= {"key_id": keys["openai"], "api-provider-key": keys["openai"], "base_id": base}
        mine |= {"api-knowledge-base": base, "document_id": document, "user_id": "me", "format": "json"}
        for path in (f"/settings/keys/{keys['openai']}/test/", f"/settings/keys/{keys['openai']}/"):
            fakes["openai"].script.append(echoes(plan.words["key of openai"])[0])
            wrong = {"name": "", "key": plan.words["key typed into a form with a fault"]}
            plan.needles.look(f"page POST {path}", browser.post(path, wrong)[1])
        fakes["openai"].script.clear()
        stack.manage("rotate_secrets", "--new-key", "--forget-old")
        assert plan.call(alice, "POST", f"/api/v1/provider-keys/{keys['openai']}/test/")["works"]
        master, site_key = (stack.data / file for file in reversed(looking.KEY_FILES))
        plan.words |= {
            "master key": master.read_text().strip(),
            "key of sessions": site_key.read_text().strip(),
        }

        # 3. Where it may be. What everybody may see is looked for as well, or nothing would say that we look.
        needles = plan.begin_again()
        needles.words |= Needles({"seen": plan.seen, "seen in usage": mine["minion_id"]}).words
        admin = Browser(stack).log_in("admin", ADMIN_PASSWORD)
        everywhere = [*looking.addresses(mine), "/settings/log/?everybody=on", "/usage/?everybody=on",
                      "/api/v1/audit/?everybody=true", "/api/v1/usage/lines/?everybody=true"]  # fmt: skip
        walked = looking.walk(browser.get, everywhere, needles, "the owner")
        looking.walk(admin.get, everywhere, needles, "the admin", most=0)
        opened = looking.look_at_the_admin(
            admin.get, needles,
            {Minion: [mine["minion_id"]], ProviderKey: keys.values(), Node: [mine["node_id"]], User: [1]},
        )  # fmt: skip
        with looking.redis_of(stack, 1) as broker:
            broker.set("seen", plan.seen, ex=60)
        needles.look("broker keeps", looking.kept_by_the_broker(stack))
        needles.look("dump of the database", looking.dump(stack))
        files = looking.look_at_files(stack, needles, begun, OLDER)
        needles.look("log console", stack.said().encode())
        for path in (f"nodes/{mine['node_id']}/", f"provider-keys/{keys['huggingface']}/"):
            plan.call(root, "DELETE", f"/api/v1/{path}", status=204)  # what others would meet
    needles.look("broker heard", bytes(heard))

    found = sorted(f"{what}: {where}" for what, where in needles.hits if not what.startswith("seen"))
    assert not found, "\n".join(found)
    assert needles.kinds("seen") == {"page", "api", "admin", "dump", "database", "file", "log", "broker"}
    places = {f"{what}: {where}" for what, where in needles.hits}
    for place in (
        "seen: page /settings/log/ for the owner", "seen: api /api/v1/audit/ for the owner", "seen: broker heard",
        "seen: broker keeps", f"seen: admin history of admin:minions_minion {mine['minion_id']}",
        f"seen: admin change of admin:minions_minion {mine['minion_id']}", "seen: log logs/web.log",
        "seen in usage: page /usage/usage.csv for the owner", "seen in usage: api /api/v1/usage/csv/ for the owner",
        "seen: page /settings/log/?everybody=on for the admin",
        f"seen: page /chat/{mine['conversation_id']}/ for the owner",
    ):  # fmt: skip
        assert place in places, place
    assert len(walked) > 80 and opened > 50 and files > 50, (len(walked), opened, files)


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
def test_a_word_is_found_in_every_spelling_and_only_there(before):
    word = a_secret("sk-")
    needles = Needles({"it": word})
    for text in (
        f"{before}{word}!", quote(before + word + "?"), before.encode().hex() + word.encode().hex(),
        base64.b64encode(f"{before}{word}{before}".encode()).decode(),
        base64.urlsafe_b64encode(f"{before}{word}".encode()).decode(), json.dumps({"a": before + word}),
    ):  # fmt: skip
        needles.hits.clear()
        needles.look("here", text.encode())
        assert needles.hits == {("it", "here")}, text
    needles.hits.clear()
    needles.look("here", base64.b64encode(word[1:].encode()) + word[:-1].encode())
    assert not needles.hits
