"""Stores that speak the real protocols on loopback: S3 by moto's server with its checks on, the hub by hand."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import botocore.session

from tests.common.servers import Server, serving

READER = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}],
}


@dataclass
class S3:
    """A running S3. `keys` may read, `other_keys` belong to somebody who may do nothing."""

    url: str
    client: object
    keys: dict = field(default_factory=dict)
    other_keys: dict = field(default_factory=dict)

    @property
    def place(self) -> str:
        return self.url.removeprefix("http://")

    def put(self, bucket: str, key: str, body: bytes, **more) -> dict:
        return self.client.put_object(Bucket=bucket, Key=key, Body=body, **more)


def client_of(url: str, service: str, keys: tuple[str, str] = ("admin-key", "admin-secret")):
    session = botocore.session.Session()
    session.set_credentials(*keys)
    return session.create_client(service, region_name="us-east-1", endpoint_url=url)


@contextmanager
def s3_server():
    """moto's S3 in a process of its own, which checks signatures and what their owners may do once it is set up."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(2**24)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, process)
        url = f"http://127.0.0.1:{port}"
        store = S3(url, client_of(url, "s3"))
        store.client.create_bucket(Bucket="letters")
        store.keys = person(url, "reader", READER)
        store.other_keys = person(url, "stranger", None)
        yield store
    finally:
        process.terminate()
        process.wait(20)


def person(url: str, name: str, policy: dict | None) -> dict:
    iam = client_of(url, "iam")
    iam.create_user(UserName=name)
    if policy:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"access_key_id": made["AccessKeyId"], "secret_access_key": made["SecretAccessKey"]}


@contextmanager
def checked(store: S3):
    """While it lasts, S3 refuses what is not signed by somebody who may."""
    switch(store, 0)
    try:
        yield
    finally:
        switch(store, 10**9)


def switch(store: S3, free_calls: int) -> None:
    connection = http.client.HTTPConnection(store.place, timeout=10)
    connection.request("POST", "/moto-api/reset-auth", str(free_calls))
    assert connection.getresponse().status == 200
    connection.close()


def wait_for(port: int, process: subprocess.Popen, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "moto's server has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("moto's server does not answer")


@contextmanager
def hub_server(token: str = "hf_right"):
    """The hub's `resolve`: a redirect that says commit and mark, to another host that has the bytes."""
    with serving() as cdn, serving() as hub:

        def put(path: str, body: bytes, commit: str, etag: str) -> None:
            target = cdn.gives(f"/blobs/{etag}", body, ETag='"of-the-cdn"') + "?Signature=s1gned"

            def resolve(request):
                if request.headers.get("Authorization") != f"Bearer {token}":
                    request.send_response(401)
                    request.send_header("X-Error-Code", "GatedRepo")
                    request.send_header("Content-Length", "0")
                    request.end_headers()
                    return
                request.send_response(302)
                request.send_header("Location", target)
                request.send_header("X-Repo-Commit", commit)
                request.send_header("X-Linked-Etag", f'"{etag}"')
                request.send_header("Content-Length", "0")
                request.end_headers()

            for revision in ("main", commit):
                hub.handlers[f"/datasets/alice/letters/resolve/{revision}/{path}"] = resolve

        hub.put, hub.cdn = put, cdn
        yield hub


__all__ = ["S3", "Server", "checked", "hub_server", "s3_server"]
