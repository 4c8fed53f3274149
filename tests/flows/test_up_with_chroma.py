"""`manage.py up` with ChromaDB: what is deleted while it is away is gone from it once it is back.

`APEX_TEST_CHROMA=/path/to/chroma` names the program (docs/knowledge.md says how it is installed).
"""

import os
import signal
import time
import uuid

import httpx2
import pytest

from knowledge.embeddings.minilm import is_installed
from knowledge.stores.chroma import COLLECTIONS
from tests.flows.client import Api
from tests.stack import Stack, free_port

PROGRAM = os.environ.get("APEX_TEST_CHROMA", "")
pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not PROGRAM, reason="APEX_TEST_CHROMA names no program"),
    pytest.mark.skipif(not is_installed(), reason="the extra embed is not installed"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    stack = Stack(
        tmp_path_factory.mktemp("site"), APEX_CHROMA_PROGRAM=PROGRAM, APEX_CHROMA_PORT=str(free_port())
    )
    try:
        yield stack.start()
    finally:
        stack.stop()  # fails where a process is left


def collections(site) -> list[str]:
    url = f"http://127.0.0.1:{site.environment['APEX_CHROMA_PORT']}{COLLECTIONS}"
    return [each["name"] for each in httpx2.get(url, trust_env=False).raise_for_status().json()]


def bring(api: Api, base: str, name: str, text: str) -> None:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = f"{head}{text}\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    status, _document = api.call("POST", f"/api/v1/knowledge-bases/{base}/documents/", body, headers=kind)
    assert status == 202


def test_what_is_deleted_while_it_is_away_goes_when_it_is_back(site):
    api = Api(site, "alice")
    status, base = api.call(
        "POST", "/api/v1/knowledge-bases/", {"name": "Ships", "embedding": "minilm", "store": "chroma"}
    )
    assert status == 201, base
    path = f"/api/v1/knowledge-bases/{base['id']}/"
    bring(api, base["id"], "ferry.txt", "The ferry departs at noon from berth nine.")

    def found() -> bool:
        asked = {"question": "When can I get a ship?", "way": "meaning"}
        return bool(api.call("POST", path + "search/", asked)[1].get("passages"))

    site.wait_until(found, "the document to be found by its meaning in ChromaDB", 60)
    assert len(collections(site)) == 1
    os.kill(site.pid("chroma"), signal.SIGSTOP)  # it is there and says nothing
    begun = time.monotonic()
    assert api.call("DELETE", path)[0] == 204
    assert time.monotonic() - begun < 15
    assert remnants(site) == 1
    os.kill(site.pid("chroma"), signal.SIGKILL)
    site.wait_until(lambda: site.processes()["chroma"]["is_ready"], "ChromaDB to be back", 60)
    site.wait_until(lambda: remnants(site) == 0, "what is left of it to be removed", 90)
    assert collections(site) == []


def remnants(site) -> int:
    code = "from knowledge.models import Remnant; print(Remnant.objects.count())"
    return int(site.manage("shell", "--no-imports", "-c", code).strip().splitlines()[-1])
