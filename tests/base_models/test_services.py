"""Base models from a directory and from a hub: a server on loopback that speaks the hub's protocol."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from django.core.management import call_command

from base_models import services
from base_models.directory import UnusableModel, inspect_directory
from base_models.models import BaseModel
from tests.serving.tiny import make_base

pytestmark = pytest.mark.django_db
COMMIT = "a" * 40


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "tiny-1.5")


def copy_of(model: Path, folder: Path) -> Path:
    target = folder / model.name
    target.mkdir()
    for file in model.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def test_a_directory_becomes_a_base_model_with_its_facts(tiny):
    model = services.add_directory(path=tiny)
    assert model.name == "tiny-1-5" and model.is_on_this_machine and model.context == 512
    assert model.parameters > 10_000 and len(model.sha256) == 64


def test_adding_the_same_directory_again_keeps_its_row(tiny):
    assert services.add_directory(path=tiny).pk == services.add_directory(path=tiny).pk
    assert BaseModel.objects.count() == 1


def test_two_directories_of_one_name_get_names_of_their_own(tiny, tmp_path):
    other = copy_of(tiny, tmp_path)
    assert {services.add_directory(path=tiny).name, services.add_directory(path=other).name} == {
        "tiny-1-5", "tiny-1-5-2",
    }  # fmt: skip


def set_config(path: Path, **changes) -> None:
    config = json.loads((path / "config.json").read_text()) | changes
    (path / "config.json").write_text(json.dumps(config))


def test_a_model_that_wants_to_run_code_is_refused(tiny, tmp_path):
    model = copy_of(tiny, tmp_path)
    set_config(model, auto_map={"AutoModel": "code.Model"})
    with pytest.raises(UnusableModel, match="auto_map"):
        inspect_directory(model)


def test_a_model_of_another_kind_is_refused_by_name(tiny, tmp_path):
    model = copy_of(tiny, tmp_path)
    set_config(model, architectures=["BertModel"])
    with pytest.raises(UnusableModel, match="BertModel"):
        inspect_directory(model)


def test_pickled_weights_are_not_loaded(tiny, tmp_path):
    model = copy_of(tiny, tmp_path)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(UnusableModel, match="safetensors"):
        inspect_directory(model)


def test_a_damaged_file_is_told_by_name(tiny, tmp_path):
    model = copy_of(tiny, tmp_path)
    (model / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(UnusableModel, match=r"model\.safetensors"):
        inspect_directory(model)


def test_a_model_without_chat_template_is_refused(tiny, tmp_path):
    model = copy_of(tiny, tmp_path)
    (model / "tokenizer_config.json").write_text("{}")
    with pytest.raises(UnusableModel, match="chat template"):
        inspect_directory(model)


def test_the_built_in_models_are_registered_once():
    call_command("register_builtin_models")
    call_command("register_builtin_models")
    model = BaseModel.objects.get(name="apex-demo")
    assert model.is_on_this_machine and model.context >= 2048 and model.licence


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's protocol that downloads: model info, the tree, and files by revision."""

    folder: Path

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        names = sorted(file.name for file in self.folder.iterdir())
        if path.startswith("/api/models/org/tiny/tree/"):
            tree = [
                {"type": "file", "path": n, "size": (self.folder / n).stat().st_size, "oid": "0" * 40}
                for n in names
            ]
            self.send(json.dumps(tree).encode(), with_body, "application/json")
            return
        if path.startswith("/api/models/org/tiny"):
            info = {"id": "org/tiny", "modelId": "org/tiny", "sha": COMMIT, "tags": [],
                    "siblings": [{"rfilename": name} for name in names]}  # fmt: skip
            self.send(json.dumps(info).encode(), with_body, "application/json")
            return
        if path.startswith(f"/org/tiny/resolve/{COMMIT}/"):
            name = path.rpartition("/")[2]
            if name in names:
                self.send((self.folder / name).read_bytes(), with_body, "application/octet-stream")
                return
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, content: bytes, with_body: bool, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *arguments) -> None:
        """Quiet."""


@pytest.fixture
def hub(tiny, settings, tmp_path, monkeypatch):
    # The library reads it once, when it is first needed: another test may have switched it off for itself just then.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    handler = type("TinyHub", (Hub,), {"folder": tiny})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.HUB_ENDPOINT = f"http://127.0.0.1:{server.server_port}"
    settings.DATA_DIR = tmp_path
    yield server
    server.shutdown()
    server.server_close()


def test_a_hub_model_is_downloaded_at_its_commit(hub):
    model = services.add_from_hub(hub_id="org/tiny")
    assert not model.is_on_this_machine
    services.download(model)
    model.refresh_from_db()
    assert model.problem == "" and model.is_on_this_machine and model.revision == COMMIT
    assert (model.path / "model.safetensors").exists()


def test_a_hub_model_that_is_not_there_says_so(hub):
    model = services.add_from_hub(hub_id="org/missing")
    services.download(model)
    model.refresh_from_db()
    assert "Could not be downloaded" in model.problem and not model.is_on_this_machine


def test_a_hub_that_cannot_be_reached_says_so(settings, tmp_path):
    settings.HUB_ENDPOINT, settings.DATA_DIR = "http://127.0.0.1:9", tmp_path
    model = services.add_from_hub(hub_id="org/tiny")
    services.download(model)
    model.refresh_from_db()
    assert "Could not be downloaded" in model.problem


@pytest.mark.parametrize("wrong", ["", "a/b/c", "../x"])
def test_what_is_no_hub_id_is_refused(wrong):
    with pytest.raises(services.AddRefused):
        services.add_from_hub(hub_id=wrong)


def test_only_superusers_add_models(alice_client, tiny):
    assert alice_client.post("/models/add/", {"location": str(tiny)}).status_code == 403
    assert not BaseModel.objects.exists()


def test_a_superuser_adds_a_directory_in_the_browser(client, django_user_model, tiny):
    client.force_login(django_user_model.objects.create_superuser("root", password="x"))
    assert client.post("/models/add/", {"location": str(tiny)}).status_code == 302
    assert BaseModel.objects.get().name == "tiny-1-5"
    wrong = client.post("/models/add/", {"location": "/no/such/place"})
    assert wrong.status_code == 422 and "/no/such/place" in wrong.content.decode()
