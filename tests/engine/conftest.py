import pytest

from tests.engine.tiny import make_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("base") / "tiny")
