"""A server that speaks the Hugging Face Hub's protocol as far as `huggingface_hub` uses it to push a folder."""

import base64
import hashlib
import json
from contextlib import contextmanager

from aiohttp import web

from tests.serving.threaded import running_app

TOKEN = "hf_thisIsAlicesWriteToken0000"
LARGE = (".safetensors", ".gguf")


class FakeHub:
    """`repos`: name → {"private", "files": {path: bytes}}. `uploads_to` is where it sends large files, if not here."""

    def __init__(self) -> None:
        self.repos: dict[str, dict] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.uploads_to = ""
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[self._known])
        app.router.add_post("/api/repos/create", self._create)
        app.router.add_get("/api/models/{owner}/{name}", self._info)
        app.router.add_post("/api/validate-yaml", self._validate)
        app.router.add_post("/api/models/{owner}/{name}/preupload/main", self._preupload)
        app.router.add_post("/{owner}/{name}.git/info/lfs/objects/batch", self._batch)
        app.router.add_put("/lfs/{oid}", self._blob)
        app.router.add_post("/api/models/{owner}/{name}/commit/main", self._commit)
        return app

    @web.middleware
    async def _known(self, request: web.Request, handler) -> web.StreamResponse:
        self.asked.append(request.path)
        is_signed = request.path.startswith("/lfs/") or request.path == "/api/validate-yaml"
        if not is_signed and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": "Invalid username or password."}, status=401)
        return await handler(request)

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        name = f"{body['organization']}/{body['name']}"
        if body["organization"] != "alice":
            return web.json_response({"error": "You don't have the rights"}, status=403)
        if name in self.repos:
            return web.json_response({"error": "You already created this model repo"}, status=409)
        self.repos[name] = {"private": body.get("visibility") == "private", "files": {}}
        return web.json_response({"url": f"{self.url}/{name}", "name": name})

    async def _info(self, request: web.Request) -> web.Response:
        name = repo_of(request)
        if name not in self.repos:
            return web.json_response({"error": "Repository not found"}, status=404)
        return web.json_response(
            {"id": name, "private": self.repos[name]["private"], "sha": "0" * 40, "siblings": [], "tags": []}
        )

    async def _validate(self, request: web.Request) -> web.Response:
        return web.json_response({"errors": [], "warnings": []})

    async def _preupload(self, request: web.Request) -> web.Response:
        files = (await request.json())["files"]
        told = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for file in files
        ]
        return web.json_response({"files": told})

    async def _batch(self, request: web.Request) -> web.Response:
        wanted = (await request.json())["objects"]
        home = self.uploads_to or self.url
        told = [
            {**each, "actions": {"upload": {"href": f"{home}/lfs/{each['oid']}", "header": {}}}}
            for each in wanted
        ]
        return web.json_response(
            {"transfer": "basic", "objects": told}, content_type="application/vnd.git-lfs+json"
        )

    async def _blob(self, request: web.Request) -> web.Response:
        content = await request.read()
        assert hashlib.sha256(content).hexdigest() == request.match_info["oid"]
        self.blobs[request.match_info["oid"]] = content
        return web.Response()

    async def _commit(self, request: web.Request) -> web.Response:
        files = self.repos[repo_of(request)]["files"]
        for line in (await request.text()).splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            elif entry["key"] == "lfsFile":
                files[entry["value"]["path"]] = self.blobs[entry["value"]["oid"]]
        return web.json_response(
            {
                "success": True,
                "commitOid": "1" * 40,
                "commitUrl": f"{self.url}/{repo_of(request)}/commit/{'1' * 40}",
            }
        )


def repo_of(request: web.Request) -> str:
    return f"{request.match_info['owner']}/{request.match_info['name']}"


@contextmanager
def running_hub():
    hub = FakeHub()
    with running_app(hub.app()) as url:
        hub.url = url
        yield hub
