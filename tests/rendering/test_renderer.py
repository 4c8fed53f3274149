import json
import subprocess
import sys

import pytest

from rendering import Renderer, RenderError, RowTooLong
from tests.rendering.directories import CHATML_TAGGED, TEMPLATES, make_directory

QUESTION = [
    {"role": "user", "content": "What is the capital of Turkey?"},
    {"role": "assistant", "content": "Ankara. Glad to help!"},
]
LONGER = [
    *QUESTION,
    {"role": "user", "content": "Über grün — 日本 🙂?\n\nYes"},
    {"role": "assistant", "content": "  日本 it is.\n\nAnkara "},
]
SYSTEM = {"role": "system", "content": "Short answers, please."}


@pytest.fixture(scope="module")
def transformers_tokenizers(model_directories):
    from transformers import PreTrainedTokenizerFast

    return {name: PreTrainedTokenizerFast.from_pretrained(path) for name, path in model_directories.items()}


def conversations(name):
    yield QUESTION
    yield LONGER
    if name != "turns":
        yield [SYSTEM, *QUESTION]
        yield [SYSTEM, *LONGER]


@pytest.mark.parametrize("name", TEMPLATES)
def test_text_and_ids_are_those_of_transformers(name, model_directories, transformers_tokenizers):
    renderer, theirs = Renderer.from_directory(model_directories[name]), transformers_tokenizers[name]
    for messages in conversations(name):
        ours = renderer.render_training(messages)
        assert ours.text == theirs.apply_chat_template(messages, tokenize=False)
        assert ours.token_ids == theirs.apply_chat_template(messages)["input_ids"]
        prompt = renderer.render_prompt(messages[:-1])
        expected = theirs.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=True)
        assert prompt.token_ids == expected["input_ids"]
        assert not any(prompt.mask)


def test_the_mask_of_a_tagged_template_is_that_of_transformers(model_directories, transformers_tokenizers):
    renderer = Renderer.from_directory(model_directories["chatml_tagged"])
    for messages in conversations("chatml_tagged"):
        theirs = transformers_tokenizers["chatml_tagged"].apply_chat_template(
            messages, return_dict=True, return_assistant_tokens_mask=True
        )
        assert renderer.render_training(messages).mask == [bool(x) for x in theirs["assistant_masks"]]


def test_a_template_without_tags_gives_the_same_mask_as_one_with_tags(model_directories):
    tagged = Renderer.from_directory(model_directories["chatml_tagged"])
    bare = Renderer.from_directory(model_directories["chatml_bare"])
    for messages in conversations("chatml_bare"):
        assert bare.render_training(messages).mask == tagged.render_training(messages).mask


@pytest.mark.parametrize(
    ("name", "answers"),
    [
        ("chatml_bare", ["Ankara. Glad to help!<|im_end|>", "  日本 it is.\n\nAnkara <|im_end|>"]),
        ("headers", ["Ankara. Glad to help!<|eot|>", "日本 it is.\n\nAnkara<|eot|>"]),
        ("brackets", [" Ankara. Glad to help!</s>", "   日本 it is.\n\nAnkara </s>"]),
        ("turns", ["Ankara. Glad to help!<end_of_turn>", "日本 it is.\n\nAnkara<end_of_turn>"]),
    ],
)
def test_every_answer_is_trained_with_its_end_of_turn_and_nothing_else(name, answers, model_directories):
    rendered = Renderer.from_directory(model_directories[name]).render_training(LONGER)
    assert trained_runs(rendered) == answers


def test_an_answer_is_found_where_the_system_message_moves_to_the_last_question(model_directories):
    renderer = Renderer.from_directory(model_directories["brackets"])
    rendered = renderer.render_training([SYSTEM, *LONGER])
    assert [run.strip() for run in trained_runs(rendered)] == [
        "Ankara. Glad to help!</s>",
        "日本 it is.\n\nAnkara </s>",
    ]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_message_of_weight_zero_is_read_but_not_learned(name, model_directories):
    renderer = Renderer.from_directory(model_directories[name])
    messages = [dict(message) for message in LONGER]
    messages[1]["weight"] = 0
    weighted, plain = renderer.render_training(messages), renderer.render_training(LONGER)
    assert weighted.text == plain.text
    assert trained_runs(weighted) == trained_runs(plain)[1:]


@pytest.mark.parametrize("name", TEMPLATES)
def test_spans_join_to_the_text(name, model_directories):
    rendered = Renderer.from_directory(model_directories[name]).render_training(LONGER)
    assert "".join(text for text, _ in rendered.spans()) == rendered.text


def test_a_long_conversation_drops_its_oldest_turns_and_keeps_system_and_target(model_directories):
    renderer = Renderer.from_directory(model_directories["chatml_tagged"])
    turns = [
        {**message, "content": f"{number} {message['content']}"}
        for number in range(9)
        for message in QUESTION
    ]
    last_three = renderer.render_training([SYSTEM, *turns[-6:]])
    shortened = renderer.render_training([SYSTEM, *turns], max_length=len(last_three.token_ids) + 3)
    assert shortened.dropped_turns == 6
    assert shortened.text == last_three.text
    assert renderer.render_training([SYSTEM, *turns], max_length=10_000).dropped_turns == 0


def test_a_target_that_does_not_fit_is_refused_with_both_numbers(model_directories):
    renderer = Renderer.from_directory(model_directories["chatml_tagged"])
    with pytest.raises(RowTooLong) as caught:
        renderer.render_training(LONGER, max_length=12)
    assert caught.value.max_length == 12
    assert caught.value.tokens == len(renderer.render_training(LONGER[2:]).token_ids)


def test_a_refusal_of_the_template_comes_back_in_its_words(model_directories):
    renderer = Renderer.from_directory(model_directories["turns"])
    with pytest.raises(RenderError, match="System role not supported"):
        renderer.render_training([SYSTEM, *QUESTION])


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (QUESTION[:1], "must be the assistant's, not user"),
        ([], "must be the assistant's, not nothing"),
        ([{"role": "robot", "content": "x"}], "'robot'"),
        ([{"role": "user", "content": None}, QUESTION[1]], "NoneType"),
        ([{"role": "user", "content": "a\ud800b"}, QUESTION[1]], "surrogate pair"),
    ],
)
def test_messages_that_cannot_be_trained_on_are_named(messages, words, model_directories):
    with pytest.raises(RenderError, match=words):
        Renderer.from_directory(model_directories["chatml_tagged"]).render_training(messages)


def test_a_template_that_hides_its_answers_is_refused(tmp_path):
    template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content | upper }}\n{% endfor %}{{ messages | length }}"
    )
    renderer = Renderer.from_directory(make_directory(tmp_path / "m", template, None, "</s>"))
    with pytest.raises(RenderError, match="does not show where the answer"):
        renderer.render_training(LONGER)


@pytest.mark.parametrize("source", ["{% for %}", "{{ messages.__class__.__mro__[1].__subclasses__() }}"])
def test_a_broken_or_prying_template_is_refused(source, tmp_path):
    path = make_directory(tmp_path / "m", source, None, "</s>")
    with pytest.raises(RenderError):
        Renderer.from_directory(path).render_prompt(QUESTION)


def test_a_directory_without_tokenizer_or_template_is_named(tmp_path):
    with pytest.raises(RenderError, match="tokenizer.json"):
        Renderer.from_directory(tmp_path)
    path = make_directory(tmp_path / "m", CHATML_TAGGED, None, "<|im_end|>")
    (path / "chat_template.jinja").unlink()
    with pytest.raises(RenderError, match="no chat template"):
        Renderer.from_directory(path)


def test_a_changed_file_is_read_anew(tmp_path):
    path = make_directory(tmp_path / "m", CHATML_TAGGED, None, "<|im_end|>")
    assert Renderer.from_directory(path) is Renderer.from_directory(path)
    assert Renderer.from_directory(path).context == 512
    (path / "config.json").write_text(json.dumps({"max_position_embeddings": 1024}))
    assert Renderer.from_directory(path).context == 1024


def test_stop_tokens_come_from_config_and_tokenizer(model_directories):
    renderer = Renderer.from_directory(model_directories["headers"])
    assert renderer.stop_token_ids == (5, renderer.tokenizer.token_to_id("<|eot|>"))


def test_importing_rendering_stays_light():
    code = (
        "import sys, rendering; "
        "print([m for m in ('torch', 'transformers', 'django', 'trl', 'peft', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def trained_runs(rendered):
    """The trained stretches of text."""
    runs, open_run = [], False
    for text, trained in rendered.spans():
        if trained and open_run:
            runs[-1] += text
        elif trained:
            runs.append(text)
        open_run = trained
    return runs


def test_two_answers_lose_the_same_oldest_turns_of_their_prompt_and_nothing_of_themselves(model_directories):
    renderer = Renderer.from_directory(model_directories["chatml_tagged"])
    prompt = [SYSTEM, *QUESTION * 6, {"role": "user", "content": "And now?"}]
    answers = [
        [{"role": "assistant", "content": words}] for words in ("Short.", "A much longer answer. " * 9)
    ]
    whole = renderer.render_answers(prompt, answers)
    assert [trained_runs(one) for one in whole] == [
        ["Short.<|im_end|>"],
        ["A much longer answer. " * 9 + "<|im_end|>"],
    ]
    limit = len(renderer.render_answers([SYSTEM, *QUESTION, prompt[-1]], answers)[1].token_ids)
    short, long = renderer.render_answers(prompt, answers, limit)
    assert (short.dropped_turns, long.dropped_turns) == (5, 5)
    assert [trained_runs(one) for one in (short, long)] == [trained_runs(one) for one in whole]
    question = short.text.partition("Short.")[0]
    assert long.text.startswith(question) and SYSTEM["content"] in question
    alone = renderer.render_answers([SYSTEM, prompt[-1]], answers)[1]
    with pytest.raises(RowTooLong) as caught:
        renderer.render_answers(prompt, answers, len(alone.token_ids) - 1)
    assert caught.value.tokens == len(alone.token_ids)


def test_turns_within_an_answer_are_never_dropped(model_directories):
    renderer = Renderer.from_directory(model_directories["chatml_tagged"])
    answer = [QUESTION[1], *QUESTION]
    whole = renderer.render_answers([QUESTION[0]], [answer])[0]
    with pytest.raises(RowTooLong):
        renderer.render_answers([QUESTION[0]], [answer], len(whole.token_ids) - 1)


def test_what_is_no_message_is_named_in_a_prompt_too(model_directories):
    renderer = Renderer.from_directory(model_directories["chatml_tagged"])
    with pytest.raises(RenderError, match="Message 1 has the role"):
        renderer.render_answers(["hello"], [[QUESTION[1]]])
