"""An adapter is looked at before a server is: each kind of fault is told in a sentence, and nothing else comes out."""

import json
import os
import pickle
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.adapter_check import check_adapter
from serving.backends.base import AdapterRefused
from serving.protocol import ApiError
from tests.serving.adapters import (
    CONFIG,
    DEMO,
    LAYER,
    safetensors,
    tensors,
    with_header,
    write_adapter,
)

FIRST = f"base_model.model.{LAYER.format(0)}.lora_A.weight"


def check(directory, **changes):
    return check_adapter(
        directory, **{"most_rank": 16, "base_directory": DEMO, "base_names": ["demo"]} | changes
    )


def refusal(directory, **changes) -> str:
    with pytest.raises(AdapterRefused) as caught:
        check(directory, **changes)
    assert caught.value.status in (400, 404)
    assert caught.value.message.endswith((".", "?"))
    return caught.value.message


def test_a_good_adapter_passes_and_tells_its_facts(tmp_path):
    facts = check(write_adapter(tmp_path / "a"))
    assert (facts.rank, facts.tensors, facts.dtypes) == (4, 8, ("F32",))
    assert facts.size_bytes == (tmp_path / "a" / "adapter_model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3'"),
        ({"peft_type": ...}, "peft_type None"),
        ({"use_dora": True}, "DoRA"),
        ({"lora_bias": True}, "lora_bias True"),
        ({"bias": "all"}, "bias 'all'"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save ['lm_head']"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "layer_replication"),
        ({"alora_invocation_tokens": [1, 2]}, "aLoRA"),
        ({"use_bdlora": {"nblocks": 2}}, "BD-LoRA"),
        ({"use_qalora": True}, "QALoRA"),
        ({"trainable_token_indices": [5]}, "trainable_token_indices"),
        ({"target_parameters": ["mlp.experts.w1"]}, "target_parameters"),
        ({"arrow_config": {"arrow_top_k": 2}}, "Arrow"),
        ({"kasa_config": {"beta": 1}}, "KaSA"),
        ({"monteclora_config": {"n": 2}}, "MonteCLoRA"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa'"),
        ({"init_lora_weights": "pissa_niter_16"}, "pissa_niter_16"),
        ({"init_lora_weights": "olora"}, "olora"),
        ({"init_lora_weights": "loftq"}, "loftq"),
        ({"init_lora_weights": "corda"}, "corda"),
        ({"init_lora_weights": 3}, "init_lora_weights 3"),
        ({"r": 64}, "r is 64; this server takes 16"),
        ({"r": 0}, "r is 0"),
        ({"r": "4"}, "r is '4'"),
        ({"r": True}, "r is True"),
        ({"r": ...}, "r is None"),
        ({"rank_pattern": {"q_proj": 32}}, "rank_pattern 'q_proj' is 32"),
        ({"rank_pattern": {"q_proj": -1}}, "is -1"),
        ({"rank_pattern": ["q_proj"]}, "no object"),
        ({"rank_pattern": {"(a+)+$": 4}}, "'(a+)+$'"),
        ({"alpha_pattern": {"q_proj": "much"}}, "'much'"),
        ({"lora_alpha": float("nan")}, "nan"),
        ({"lora_alpha": ...}, "'lora_alpha' is None"),
        ({"use_rslora": "yes"}, "use_rslora is 'yes'"),
        ({"target_modules": []}, "target_modules are []"),
        ({"target_modules": "(.*)+_proj"}, "target_modules"),
        ({"base_model_name_or_path": "another"}, "base model is 'another'; this server has demo"),
        ({"base_model_name_or_path": ["demo"]}, "['demo']"),
    ],
)
def test_what_a_server_does_not_compute_is_named_with_its_value(tmp_path, lines, words):
    assert words in refusal(write_adapter(tmp_path / "a", **lines))


@pytest.mark.parametrize("start", [True, False, "gaussian", "eva", "orthogonal", "mica", "lora_ga"])
def test_a_way_to_begin_that_leaves_the_base_alone_is_fine(tmp_path, start):
    assert check(write_adapter(tmp_path / "a", init_lora_weights=start)).rank == 4


def test_a_rank_of_its_own_for_a_layer_is_fine_and_counts(tmp_path):
    weights = tensors(rank=4)
    for side, shape in (("A", (8, 192)), ("B", (192, 8))):
        weights[f"base_model.model.{LAYER.format(1)}.lora_{side}.weight"] = np.ones(shape, "<f4")
    adapter = write_adapter(
        tmp_path / "a", weights=safetensors(weights), rank_pattern={"layers.1.self_attn.q_proj": 8}
    )
    assert check(adapter).rank == 8
    assert "rank_pattern" in refusal(adapter, most_rank=4)


def test_without_a_base_at_hand_only_the_adapter_itself_is_looked_at(tmp_path):
    adapter = write_adapter(
        tmp_path / "a", weights=safetensors(tensors(width=64)), base_model_name_or_path="x"
    )
    assert check(adapter, base_directory=None, base_names=()).tensors == 8
    assert "base model is 'x'" in refusal(adapter)


def broken_weights():
    good = tensors()
    nan, inf, half_nan, bf_inf = dict(good), dict(good), dict(good), dict(good)
    nan[FIRST] = good[FIRST].copy()
    nan[FIRST][2, 7] = np.nan
    inf[FIRST] = good[FIRST].copy()
    inf[FIRST][0, 0] = -np.inf
    half_nan[FIRST] = np.full((4, 192), np.nan, "<f2")
    bf_inf[FIRST] = np.full((4, 192), 0x7F80, "<u2")
    one_half = {name: value for name, value in good.items() if name != FIRST}
    other_ranks = dict(good) | {FIRST: np.ones((3, 192), "<f4")}
    three_sides = dict(good) | {FIRST: np.ones((4, 192, 1), "<f4")}
    stranger = dict(good) | {"base_model.model.lm_head.weight": np.ones((4, 4), "<f4")}
    embedding = dict(good) | {"base_model.model.model.embed_tokens.lora_embedding_A": np.ones((4, 9), "<f4")}
    whole = safetensors(good)
    entry = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    return {
        "a value that is no number": (safetensors(nan), f"no number in '{FIRST}', at 391"),
        "an infinity": (safetensors(inf), "no number"),
        "NaN in half precision": (safetensors(half_nan), "no number"),
        "infinity in bfloat16": (safetensors(bf_inf), "no number"),
        "of another model": (safetensors(tensors(width=64)), "is 64 wide, where model has 192"),
        "more layers than the base": (safetensors(tensors(layers=5)), "has no layer 'model.layers.4"),
        "a rank that the config does not name": (safetensors(tensors(rank=8)), "ranks 8 and 8"),
        "two ranks in one layer": (safetensors(other_ranks), "ranks 3 and 4"),
        "half of a layer": (safetensors(one_half), "only one of the two halves"),
        "three sides": (safetensors(three_sides), "two sides"),
        "a whole weight": (safetensors(stranger), "no part of a plain LoRA"),
        "an embedding": (safetensors(embedding), "no part of a plain LoRA"),
        "whole numbers": (safetensors(dict(good) | {FIRST: np.ones((4, 192), "<i8")}), "in 'I64'"),
        "an unknown type": (safetensors(good, {FIRST: "F8_E4M3"}), "in 'F8_E4M3'"),
        "a type of another size": (safetensors(good, {FIRST: "F16"}), "F16 of shape"),
        "no tensors": (safetensors({}), "holds no tensors"),
        "nothing": (b"", "0 bytes long"),
        "cut off": (whole[:-100], "its header speaks of"),
        "something behind": (whole + b"x", "its header speaks of"),
        "a header longer than the file": (b"\xff" * 16, "announces a header"),
        "no JSON": (with_header(b"{]", b""), "no JSON"),
        "no object": (with_header(b"[1]", b""), "no JSON object"),
        "nested without end": (with_header(b"[" * 100_000, b""), "no JSON"),
        "a name twice": (with_header(entry + b"," + entry[1:] + b"}", b"0000"), "twice"),
        "a hole": (
            with_header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"00000000"),
            "was expected",
        ),
        "a negative side": (
            with_header(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', b"0000"),
            "the shape [-1]",
        ),
        "a place that is none": (
            with_header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":"x"}}', b"0000"),
            "places its tensor",
        ),
        "a pickle": (pickle.dumps({"a": 1}), "announces a header"),
    }


@pytest.mark.parametrize("kind", broken_weights())
def test_weights_that_are_broken_or_of_another_model_are_told_apart(tmp_path, kind):
    content, words = broken_weights()[kind]
    assert words in refusal(write_adapter(tmp_path / "a", weights=content))


@pytest.mark.parametrize(
    "name", ["adapter_model.bin", "run.py", "optimizer.pt", "x/deep.pkl", "lib.so", "run"]
)
def test_files_that_may_hold_code_are_refused_by_name(tmp_path, name):
    adapter = write_adapter(tmp_path / "a")
    (adapter / name).parent.mkdir(exist_ok=True)
    (adapter / name).write_bytes(b"x")
    assert name in refusal(adapter)


def test_links_and_pipes_are_refused(tmp_path):
    adapter = write_adapter(tmp_path / "a")
    (adapter / "notes.md").symlink_to("/etc/hostname")
    assert "notes.md" in refusal(adapter)
    (adapter / "notes.md").unlink()
    os.mkfifo(adapter / "notes.md")
    assert "notes.md" in refusal(adapter)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    adapter = write_adapter(tmp_path / "a")
    (adapter / name).unlink()
    assert name in refusal(adapter)
    assert "no directory" in refusal(tmp_path / "gone")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"r": 1' + b"0" * 5000 + b"}", b" " * 1048577],
)
def test_a_config_that_is_no_object_is_refused(tmp_path, content):
    adapter = write_adapter(tmp_path / "a")
    (adapter / "adapter_config.json").write_bytes(content)
    assert "adapter_config.json" in refusal(adapter)


def test_a_base_model_that_cannot_be_read_is_not_the_adapters_fault(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{")
    with pytest.raises(ApiError) as caught:
        check(write_adapter(tmp_path / "a"), base_directory=tmp_path / "base")
    assert not isinstance(caught.value, AdapterRefused)
    assert caught.value.status == 500


def test_a_base_of_which_the_weights_are_packed_is_not_measured(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text('{"quantization_config": {"quant_method": "awq"}}')
    weights = safetensors(tensors(width=64))
    assert check(write_adapter(tmp_path / "a", weights=weights), base_directory=tmp_path / "base").rank == 4


def test_layers_that_are_called_otherwise_in_memory_are_found_by_their_end(tmp_path):
    weights = {
        name.replace("model.layers", "model.language_model.layers"): one for name, one in tensors().items()
    }
    assert check(write_adapter(tmp_path / "a", weights=safetensors(weights))).rank == 4


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
mutations = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@mutations
@given(name=st.sampled_from([*CONFIG, "rank_pattern", "alpha_pattern", "use_rslora"]), value=json_values)
def test_whatever_stands_in_the_config_passes_or_is_refused(tmp_path, name, value):
    adapter = write_adapter(tmp_path / "a")
    (adapter / "adapter_config.json").write_text(json.dumps(CONFIG | {name: value}))
    passes_or_is_refused(adapter)


@mutations
@given(seed=st.integers(0, 2**32))
def test_whatever_stands_in_the_weights_passes_or_is_refused(tmp_path, seed):
    draw = random.Random(seed)
    content = bytearray(safetensors(tensors(layers=1)))
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(content) if draw.random() < 0.3 else 400)
        match draw.randrange(4):
            case 0:
                content[place] = draw.randrange(256)
            case 1:
                del content[place : place + draw.randint(1, 30)]
            case 2:
                content[place:place] = draw.randbytes(draw.randint(1, 30))
            case 3:
                content[place : place + 1] = draw.choice([b"0", b"9", b"-", b'"', b"[", b"null", b"1e9"])
    passes_or_is_refused(write_adapter(tmp_path / "a", weights=bytes(content)))


@mutations
@given(entry=json_values)
def test_whatever_a_header_says_of_a_tensor_passes_or_is_refused(tmp_path, entry):
    header = json.dumps({FIRST: entry}).encode()
    passes_or_is_refused(write_adapter(tmp_path / "a", weights=with_header(header, b"0" * 64)))


def passes_or_is_refused(adapter) -> None:
    try:
        check(adapter)
    except AdapterRefused as refused:
        json.dumps(refused.body()).encode()
        assert refused.message.strip()
