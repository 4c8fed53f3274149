import pytest

from tests.engine.conftest import tiny_model  # noqa: F401 - the same model for both
from tests.rendering.directories import TEMPLATES, make_directory


@pytest.fixture(scope="session")
def model_directories(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        name: make_directory(root / name, *parts, in_config=name in ("headers", "turns"))
        for name, parts in TEMPLATES.items()
    }
