"""A script's way into a running Apex, the API with a token, and a person's: pages with a session. In the standard
library only."""

import json
import re
import time
import urllib.error
import urllib.request
import uuid
import zipfile
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode

DEMO_MODEL = Path(__file__).parents[2] / "base_models" / "demo" / "model"
ENDED = {"succeeded", "failed", "crashed", "cancelled"}


class Api:
    """`Api(stack, "alice")` makes the person if needed, and a token by `manage.py create_token`."""

    def __init__(self, stack, username: str):
        self.url = stack.url
        make_person(stack, username)
        self.token = stack.manage("create_token", username).strip()

    @classmethod
    def with_token(cls, stack, token: str) -> "Api":
        """For a token of another kind, or one that is none."""
        made = cls.__new__(cls)
        made.url, made.token = stack.url, token
        return made

    def call(
        self, method: str, path: str, body=None, *, headers: dict | None = None
    ) -> tuple[int, dict | bytes]:
        """Status and parsed answer (bytes if it is no JSON)."""
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path,
            data=data,
            method=method,
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                **(headers or {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, parse(answer.headers.get("Content-Type", ""), answer.read())
        except urllib.error.HTTPError as error:
            return error.code, parse(error.headers.get("Content-Type", ""), error.read())

    def upload(self, name: str, path: Path, content: bytes | None = None) -> tuple[int, dict]:
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\n{name}\r\n'.encode(),
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode(),
            path.read_bytes() if content is None else content,
            f"\r\n--{boundary}--\r\n".encode(),
        ]
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self.call("POST", "/api/v1/datasets/", b"".join(parts), headers=kind)

    def train(self, name: str, dataset: str, **config) -> dict:
        status, job = self.call(
            "POST",
            "/api/v1/training/jobs/",
            {"name": name, "dataset": dataset, "base_model": "apex-demo", "method": "sft", "config": config},
        )
        assert status == 201, job
        return job

    def job(self, job_id: str) -> dict:
        return self.call("GET", f"/api/v1/training/jobs/{job_id}/")[1]

    def wait(self, job_id: str, until=lambda job: job["status"] in ENDED, seconds: float = 300) -> dict:
        """The job as soon as `until(job)` holds."""
        deadline = time.monotonic() + seconds
        while True:
            job = self.job(job_id)
            if until(job):
                return job
            assert job["status"] not in ENDED, f"it ended: {job['status']}: {job['message']} {job['advice']}"
            assert time.monotonic() < deadline, (
                f"still {job['status']} at step {job['step']} after {seconds} s"
            )
            time.sleep(0.3)

    def metrics(self, job_id: str) -> list[dict]:
        return self.call("GET", f"/api/v1/training/jobs/{job_id}/metrics/?page_size=500")[1]["results"]


class Browser:
    """Pages of a running Apex, as somebody sees them who signs in with `log_in` or `sign_up`, or nobody."""

    def __init__(self, stack):
        self.url = stack.url
        self.cookies = CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def log_in(self, name: str, password: str) -> "Browser":
        self.post("/accounts/login/", {"login": name, "password": password}, form="/accounts/login/")
        return self

    def sign_up(self, name: str, password: str) -> "Browser":
        fields = {"username": name, "password1": password, "password2": password}
        self.post("/accounts/signup/", fields, form="/accounts/signup/")
        return self

    def get(self, path: str) -> tuple[int, bytes]:
        return self.open(urllib.request.Request(self.url + path))

    def post(self, path: str, fields: dict, form: str = "/settings/") -> tuple[int, bytes]:
        """Sends a form as the page at `form` has it. Redirects are followed."""
        found = re.search(rb'csrfmiddlewaretoken" value="([^"]+)"', self.get(form)[1])
        assert found, f"{form} holds no form"
        data = urlencode({**fields, "csrfmiddlewaretoken": found[1].decode()}).encode()
        return self.open(urllib.request.Request(self.url + path, data, {"Referer": self.url + form}))

    def open(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with self.opener.open(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def parse(kind: str, content: bytes):
    return json.loads(content) if "json" in kind else content


def make_person(stack, username: str) -> None:
    stack.manage(
        "shell",
        "-v0",
        "-c",
        "from accounts.models import User; "
        f"User.objects.filter(username='{username}').exists() or "
        f"User.objects.create_user('{username}', password='correct horse battery')",
    )


def open_with_peft(archive: Path):
    """The adapter in a downloaded zip, unpacked beside it into `adapter/`, on the demo model. Safetensors only."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with zipfile.ZipFile(archive) as opened:
        assert not [name for name in opened.namelist() if name.endswith((".bin", ".pt", ".pkl", ".pth"))]
        opened.extractall(archive.parent / "adapter")
    base = AutoModelForCausalLM.from_pretrained(DEMO_MODEL)
    return PeftModel.from_pretrained(base, archive.parent / "adapter")
