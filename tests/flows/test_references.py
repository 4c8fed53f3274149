"""From a bucket to an adapter, by API on a real stack: the data stays in S3, and its change is noticed."""

import json
import time

import pytest

from base_models.demo.dataset import dataset_rows
from tests.datasets_app.stores import checked, s3_server, switch
from tests.flows.client import Api

pytestmark = [pytest.mark.stack, pytest.mark.slow]
KEPT = "the-very-first-answer-of-the-bucket"


def allow(stack, place: str) -> None:
    """As a superuser does in the admin."""
    stack.manage(
        "shell", "-v0", "-c",
        "from accounts.models import AllowedPlace; "
        f"AllowedPlace.objects.get_or_create(what='host', place='{place}')",
    )  # fmt: skip


def imported(api: Api, import_id: str, seconds: float = 60) -> dict:
    deadline = time.monotonic() + seconds
    while True:
        found = api.call("GET", f"/api/v1/imports/{import_id}/")[1]
        if found["status"] not in ("queued", "checking", "receiving"):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.3)


def test_a_bucket_is_checked_trained_from_and_its_change_noticed(stack):
    rows = [{**row, "split": None} for row in dataset_rows()]
    rows[0]["messages"][-1]["content"] = KEPT
    text = "\n".join(json.dumps({"messages": row["messages"]}) for row in rows).encode()
    with s3_server() as s3, checked(s3):
        allow(stack, s3.place)
        api = Api(stack, "flow-bucket")
        asked = {"name": "Lab", "kind": "s3", "endpoint_url": s3.url, "credentials": s3.keys}
        status, connection = api.call("POST", "/api/v1/connections/", asked)
        assert status == 201, connection
        s3_put(s3, text)
        refer = {"uri": "s3://letters/train.jsonl", "connection": connection["id"], "name": "Guide"}
        status, started = api.call("POST", "/api/v1/datasets/", refer)
        assert status == 202, started
        done = imported(api, started["id"])
        assert done["status"] == "done", done
        version = api.call("GET", f"/api/v1/datasets/{done['dataset']}/")[1]["latest"]
        assert version["reference"]["uri"] == refer["uri"] and version["row_count"] == len(rows)

        job = api.wait(api.train("From the bucket", done["dataset"], min_steps=10, epochs=1)["id"])
        assert job["status"] == "succeeded", job

        # Nothing of it stays here: neither rows nor credentials.
        for path in stack.data.rglob("*"):
            if path.is_file() and "lock" not in path.name:
                content = path.read_bytes()
                assert KEPT.encode() not in content, path
                assert s3.keys["secret_access_key"].encode() not in content, path

        s3_put(s3, text.replace(b"guide", b"pilot"))
        status, refused = api.call(
            "POST",
            "/api/v1/training/jobs/",
            {"name": "Again", "dataset": done["dataset"], "base_model": "apex-demo", "method": "sft"},
        )
        assert status == 400 and version["reference"]["etag"] in refused["error"]["message"], refused
        assert "Check it again" in refused["error"]["message"]
        again = api.call("POST", f"/api/v1/datasets/{done['dataset']}/versions/", refer)[1]
        assert imported(api, again["id"])["status"] == "done"
        assert api.call("GET", f"/api/v1/datasets/{done['dataset']}/")[1]["latest"]["number"] == 2


def s3_put(s3, text: bytes) -> None:
    """By somebody who may write, which the readers of the tests may not."""
    switch(s3, 10**9)
    s3.put("letters", "train.jsonl", text)
    switch(s3, 0)
