"""Answers that are written together are those that each gets alone, whoever joins, leaves or waits for room."""

import json
import shutil

import pytest

from serving.protocol import ApiError, ChatRequest
from tests.serving.tiny import make_adapter

# In nats. Two tokens as likely as that may change places in a batch, which sums in another order.
TIE = 1e-3
WORDS = ["Hi", "What is the capital of Turkey?", "x" * 90, "Tell me a story about a lighthouse.", "No."]


@pytest.fixture(scope="module")
def shelf(tiny):
    from serving.embedded.shelf import Shelf

    shelf = Shelf()
    shelf.load_base("tiny", tiny["base"])
    for name in ("one", "two"):
        shelf.load_adapter(name, tiny[name], "tiny")
    return shelf


@pytest.fixture(scope="module")
def base(shelf):
    return shelf.bases["tiny"]


def begin(shelf, model, words, tokens=24, **options):
    request = ChatRequest(
        model=model, messages=[{"role": "user", "content": words}],
        **{"temperature": 0, "max_tokens": tokens, "top_logprobs": 2} | options,
    )  # fmt: skip
    return shelf.open_answer(request)


def finish(shelf, answers, found=None):
    """Steps until all have ended → scores of each; raises what one of them raised."""
    found = {answer: [] for answer in answers} if found is None else found
    going = set(answers)
    for _ in range(1000):
        if not going:
            return found
        for base in {answer.base for answer in going}:
            for answer, piece in base.batch.step():
                if isinstance(piece, Exception):
                    raise piece
                found[answer] += piece.scores
                if piece.end:
                    answer.close()
                    going.discard(answer)
    raise TimeoutError(f"{len(going)} answers never ended")


def alone(shelf, *ask, **options):
    answer = begin(shelf, *ask, **options)
    return finish(shelf, [answer])[answer]


def check_same(together, by_itself):
    """The same tokens, up to a place where two are as good as equally likely."""
    for here, there in zip(together, by_itself, strict=False):
        assert here.token.logprob == pytest.approx(there.token.logprob, abs=TIE)
        if here.token.token_id != there.token.token_id:
            assert abs(there.top[0].logprob - there.top[1].logprob) < TIE
            return
    assert len(together) == len(by_itself)


def test_a_mixed_batch_gives_what_each_gives_alone(shelf):
    asks = [(model, words) for words in WORDS for model in ("tiny", "one", "two")]
    answers = [begin(shelf, *ask) for ask in asks]
    found = finish(shelf, answers)
    for ask, answer in zip(asks, answers, strict=True):
        check_same(found[answer], alone(shelf, *ask))


def test_who_joins_and_leaves_in_the_middle_changes_nothing_for_the_others(shelf, base):
    asks = [("one", WORDS[1], 40), ("tiny", WORDS[2], 40), ("two", WORDS[3], 30)]
    expected = [alone(shelf, *ask) for ask in asks]
    assert min(map(len, expected)) > 20
    stays, leaves = (begin(shelf, *ask) for ask in asks[:2])
    found = {stays: [], leaves: []}
    for number in range(18):
        if number == 7:
            joins = begin(shelf, *asks[2])
            found[joins] = []
        if number == 15:
            leaves.close()
        for answer, piece in base.batch.step():
            found[answer] += piece.scores
    assert len(found[leaves]) == 15 and len(found[joins]) == 11
    finish(shelf, [stays, joins], found)
    check_same(found[stays], expected[0])
    check_same(found[leaves], expected[1][:15])
    check_same(found[joins], expected[2])
    assert not base.is_in_use and not base.batch._rows.layers


def test_one_pass_gives_a_token_to_everybody(shelf, base):
    answers = [begin(shelf, model, "Hi", 8) for model in ("tiny", "one", "two", "tiny")]
    passes = [len(base.batch.step()) for _ in range(3)]
    assert passes == [4, 4, 4]
    for answer in answers:
        answer.close()


def test_the_same_seed_gives_the_same_answer_beside_any_neighbours(shelf):
    hot = {"temperature": 1.2, "top_p": 0.9, "seed": 5}
    by_itself = alone(shelf, "one", WORDS[1], **hot)
    answers = [begin(shelf, "one", WORDS[1], **hot), *(begin(shelf, "two", words) for words in WORDS)]
    found = finish(shelf, answers)[answers[0]]
    assert [score.token.token_id for score in found] == [score.token.token_id for score in by_itself]


def test_those_without_room_wait_in_order_and_then_answer_the_same(shelf, base, monkeypatch):
    asks = [("one", WORDS[2]), ("tiny", WORDS[1]), ("two", WORDS[3])]
    expected = [alone(shelf, *ask, 60) for ask in asks]
    # The three begin within it and outgrow it.
    monkeypatch.setattr(base, "room", 3 * 121)
    monkeypatch.setattr("serving.embedded.batch.HEADROOM", 8)
    answers = [begin(shelf, *ask, 60) for ask in asks]
    found, most = {answer: [] for answer in answers}, 0
    ended, aside = [], []
    while len(ended) < 3:
        if answers[2].read == 0 and found[answers[2]]:
            aside.append(answers[2])
        for answer, piece in base.batch.step():
            found[answer] += piece.scores
            if piece.end:
                answer.close()
                ended.append(answer)
        rows = base.batch._rows
        most = max(most, len(rows.lengths) * rows.width)
    assert 0 < most <= base.room
    assert aside and ended[-1] is answers[2]
    for answer, wanted in zip(answers, expected, strict=True):
        check_same(found[answer], wanted)


def test_a_pass_that_breaks_ends_its_answers_and_nobody_elses(shelf, base, monkeypatch):
    broken = begin(shelf, "one", "Hi")
    base.batch.step()
    monkeypatch.setattr(base, "run", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("no memory")))
    with pytest.raises(RuntimeError):
        finish(shelf, [broken])
    broken.close()
    monkeypatch.undo()
    assert alone(shelf, "one", "Hi")


@pytest.mark.parametrize(
    "changes",
    [
        {"use_rslora": True, "r": 8},
        {"rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 6}, "alpha_pattern": {"up_proj": 3}},
        {"target_modules": ["o_proj", "down_proj"], "lora_alpha": 3},
    ],
)
def test_an_adapter_adds_what_peft_adds(shelf, base, tiny, tmp_path, changes):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    directory = make_adapter(tmp_path / "odd", tiny["base"], seed=9, **changes)
    shelf.load_adapter("odd", directory, "tiny")
    ids = torch.tensor([[5, 9, 200, 31]])
    theirs = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny["base"]), directory)
    keys = [base.adapters[name].key for name in ("odd", "one")]
    with torch.inference_mode():
        wanted = theirs(input_ids=ids).logits
        ours = base.run(ids, base.new_cache(), keys[:1], is_whole=True)
        mixed = base.run(ids.repeat(3, 1), base.new_cache(), [*keys, None], is_whole=True)
    assert torch.allclose(ours, wanted, atol=1e-4)
    assert torch.allclose(mixed[:1], wanted, atol=1e-4)
    assert not torch.allclose(mixed[1], mixed[2], atol=1e-2)
    shelf.unload_adapter("odd")


def test_many_adapters_put_no_more_on_the_base(shelf, base, tiny, tmp_path):
    hooks = len(base._loras._hooks)
    for number in range(20):
        shelf.load_adapter(f"copy{number}", tiny["one"], "tiny")
    assert len(base._loras._hooks) == hooks
    check_same(alone(shelf, "copy19", "Hi"), alone(shelf, "one", "Hi"))
    for number in range(20):
        shelf.unload_adapter(f"copy{number}")


def test_what_overflows_in_one_adapter_does_not_reach_its_neighbours(shelf, tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny["one"], tmp_path / "huge")
    file = tmp_path / "huge" / "adapter_model.safetensors"
    save_file({name: tensor * 0 + 1e38 for name, tensor in load_file(file).items()}, file)
    shelf.load_adapter("huge", tmp_path / "huge", "tiny")
    wanted = alone(shelf, "one", WORDS[1])
    neighbour, huge = begin(shelf, "one", WORDS[1]), begin(shelf, "huge", WORDS[1])
    check_same(finish(shelf, [neighbour, huge])[neighbour], wanted)
    shelf.unload_adapter("huge")


def test_broken_adapters_are_refused_in_words(shelf, tiny, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    def changed(name, config=None, tensors=None):
        directory = shutil.copytree(tiny["one"], tmp_path / name)
        if config:
            path = directory / "adapter_config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | config))
        if tensors:
            file = directory / "adapter_model.safetensors"
            held = load_file(file)
            tensors(held)
            save_file(held, file)
        return directory

    def nan(held):
        next(iter(held.values()))[0, 0] = float("nan")

    def half(held):
        del held[next(name for name in held if "lora_B" in name)]

    def foreign(held):
        for side, shape in (("A", (4, 32)), ("B", (32, 4))):
            name = f"base_model.model.model.layers.9.self_attn.q_proj.lora_{side}.weight"
            held[name] = torch.zeros(shape)

    def more(held):
        held["base_model.model.lm_head.weight"] = torch.zeros(4, 32)

    cases = {
        "nan": (changed("nan", tensors=nan), "no number"),
        "half": (changed("half", tensors=half), "but not"),
        "foreign": (changed("foreign", tensors=foreign), "does not belong"),
        "more": (changed("more", tensors=more), "does not belong"),
        "rank": (changed("rank", {"r": 8}), "rank 8"),
        "pissa": (changed("pissa", {"init_lora_weights": "pissa"}), "init_lora_weights"),
        "pattern": (changed("pattern", {"rank_pattern": {"(": 2}}), "rank_pattern"),
        "alpha": (changed("alpha", {"lora_alpha": "8"}), "lora_alpha"),
        "list": (changed("list"), "an object is expected"),
        "torn": (changed("torn"), "cannot be read"),
        "gone": (tmp_path / "gone", "missing"),
    }
    (cases["list"][0] / "adapter_config.json").write_text("[]")
    torn = cases["torn"][0] / "adapter_model.safetensors"
    torn.write_bytes(torn.read_bytes()[:100])
    for name, (directory, words) in cases.items():
        with pytest.raises(ApiError) as caught:
            shelf.load_adapter(name, directory, "tiny")
        assert words in caught.value.message, (name, caught.value.message)
        assert caught.value.status < 500
    assert alone(shelf, "one", "Hi")
