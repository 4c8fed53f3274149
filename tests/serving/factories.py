"""Rows that make the tiny model and its adapters known to Django."""

import json
import shutil
from pathlib import Path

from apex.common import files
from base_models.models import BaseModel
from rendering import Renderer
from serving.models import Hardware, Node
from serving.node_services import add_node
from tests.serving.server_of_adapters import base_values
from tests.training.factories import make_version
from training.models import Adapter, Status, TrainingJob, new_model_id


def make_base_model(directory: Path, name="tiny") -> BaseModel:
    return BaseModel.objects.create(
        name=name, display_name=name.title(), source="directory", location=str(directory), directory=str(directory),
        is_on_this_machine=True, sha256="0" * 64, context=512,
    )  # fmt: skip


def make_adapter_row(owner, base_model: BaseModel, directory: Path, name="Coach") -> Adapter:
    """An adapter with its files in the store, and the finished job and dataset it came from."""
    version = make_version(owner, name=f"Data of {name}")
    job = TrainingJob.objects.create(
        owner=owner,
        name=name,
        dataset_version=version,
        base_model=base_model,
        queue="cpu",
        status=Status.SUCCEEDED,
    )
    return Adapter.objects.create(
        owner=owner, name=name, model_id=new_model_id(base_model, owner, name), job=job, dataset_version=version,
        base_model=base_model, seed=42, directory_sha256=files.put_directory(directory).sha256,
    )  # fmt: skip


QUESTIONS = ["Who are you?", "What is the capital of Turkey?", "Say hello."]


def make_record(base: Path, *, seed: int = 1, precision: str = "fp32") -> dict:
    """A parity.json as the engine writes it, with made-up probabilities that tell adapters apart by `seed`."""
    renderer = Renderer.from_directory(base)
    prompts = []
    for number, question in enumerate(QUESTIONS):
        messages = [{"role": "user", "content": question}]
        prompt = renderer.render_prompt(messages).token_ids
        answer = [40 + (seed * 7 + number * 3 + place) % 50 for place in range(6)]
        prompts.append(
            {
                "prompt": question,
                "prompt_token_ids": prompt,
                "messages": messages,
                "tools": None,
                "answer": renderer.decode(answer),
                "answer_token_ids": answer,
                "logprobs": [-0.05 * seed - 0.01 * place for place in range(6)],
                "base_logprobs": base_values([*prompt, *answer])[-6:],
                "is_ended": True,
            }
        )
    return {"format": 1, "precision": precision, "quantization": "none", "drift": None, "prompts": prompts}


def make_servable(
    owner, base_model: BaseModel, files_dir: Path, folder: Path, *, name="Coach", seed=1, **record
):
    """An adapter whose directory also has the record by which a server is compared. `files_dir` is a real adapter."""
    shutil.copytree(files_dir, folder)
    made = make_record(base_model.path, seed=seed) | record
    (folder / "parity.json").write_text(json.dumps(made))
    return make_adapter_row(owner, base_model, folder, name=name)


def make_node(server, base_model: BaseModel, name="one", **changes) -> Node:
    """A node in use that leads to a test's server."""
    wanted = {"served_name": server.served_name, "adapter_slots": 4, "hardware": Hardware.GPU} | changes
    return add_node(name=name, address=server.url, base_model=base_model, **wanted)
