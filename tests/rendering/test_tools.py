"""Tools, calls and answers of tools reach the chat template; what a template leaves out is told."""

import pytest

from rendering import Renderer, RenderError
from tests.rendering.directories import CHATML_BARE, CHATML_TAGGED, make_directory

QWEN = (  # in the manner of Qwen 2.5
    "{%- if tools %}{{- '<|im_start|>system\\n' + (messages[0].content if messages[0].role == 'system' else 'Help.') "
    "+ '\\n<tools>' }}{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}"
    "{{- '\\n</tools><|im_end|>\\n' }}"
    "{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}"
    "{%- endif %}{%- for message in messages %}"
    "{%- if message.role == 'user' or (message.role == 'assistant' and not message.tool_calls) %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- elif message.role == 'assistant' %}{{- '<|im_start|>assistant' }}"
    "{%- if message.content %}{{- '\\n' + message.content }}{%- endif %}"
    '{%- for call in message.tool_calls %}{{- \'\\n<tool_call>\\n{"name": "\' + call.function.name + '
    "'\", \"arguments\": ' + (call.function.arguments | tojson) + '}\\n</tool_call>' }}{%- endfor %}"
    "{{- '<|im_end|>\\n' }}{%- elif message.role == 'tool' %}"
    "{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}"
    "{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}"
    "{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}"
    "{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
JOINING = (  # in the manner of DeepSeek: arguments are joined as text
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content }}"
    "{%- for call in message.tool_calls or [] %}{{- '<call>' + call.function.name + ' ' + call.function.arguments }}"
    "{%- endfor %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
NINE = (  # in the manner of Mistral: ids of nine letters and digits
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content }}"
    "{%- for call in message.tool_calls or [] %}{%- if call.id | length != 9 %}"
    "{{- raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{%- endif %}"
    "{{- call.function | tojson + call.id }}{%- endfor %}{%- if message.role == 'tool' %}{{- message.tool_call_id }}"
    "{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
ESCAPING = CHATML_BARE.replace("message['content'] +", "(message['content'] | tojson) +")
THINKING = CHATML_BARE.replace("message['content'] +", "message['content'].split('</think>')[-1] +")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_hours",
            "description": "Hours of a town",
            "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
        },
    }
]
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "find_hours", "arguments": '{"town": "Ankara"}'},
}
BRIEF = {"role": "developer", "content": "Be brief."}
CALLING = [
    {"role": "user", "content": "When are you open in Ankara?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "9 to 17"},
    {"role": "assistant", "content": "From 9 to 17."},
]


@pytest.fixture
def renderer(tmp_path):
    def make(template):
        return Renderer.from_directory(make_directory(tmp_path / "m", template, None, "<|im_end|>"))

    return make


def learned(rendered):
    return "".join(text for text, trained in rendered.spans() if trained)


def test_tools_and_calls_are_rendered_as_transformers_does(renderer):
    from transformers import PreTrainedTokenizerFast

    ours = renderer(QWEN)
    theirs = PreTrainedTokenizerFast.from_pretrained(ours.directory)
    as_dict = {**CALL, "function": {"name": "find_hours", "arguments": {"town": "Ankara"}}}
    expected = [CALLING[0], {**CALLING[1], "tool_calls": [as_dict]}, *CALLING[2:]]
    rendered = ours.render_training(CALLING, tools=TOOLS)
    assert rendered.text == theirs.apply_chat_template(expected, tools=TOOLS, tokenize=False)
    prompt = ours.render_prompt(CALLING[:3], tools=TOOLS)
    assert (
        prompt.token_ids
        == theirs.apply_chat_template(
            expected[:3], tools=TOOLS, add_generation_prompt=True, return_dict=True
        )["input_ids"]
    )


def test_calls_are_learned_and_the_answers_of_tools_are_not(renderer):
    rendered = renderer(QWEN).render_training(CALLING, tools=TOOLS)
    call = '<tool_call>\n{"name": "find_hours", "arguments": {"town": "Ankara"}}\n</tool_call><|im_end|>'
    assert learned(rendered) == call + "From 9 to 17.<|im_end|>"


def test_a_call_as_the_last_message_is_what_is_learned(renderer):
    rendered = renderer(QWEN).render_training(CALLING[:2], tools=TOOLS)
    assert learned(rendered).endswith("</tool_call><|im_end|>")


def test_a_call_of_weight_0_is_read_but_not_learned(renderer):
    messages = [CALLING[0], {**CALLING[1], "weight": 0}, *CALLING[2:]]
    rendered = renderer(QWEN).render_training(messages, tools=TOOLS)
    assert learned(rendered) == "From 9 to 17.<|im_end|>"


def test_an_answer_with_words_and_a_call_is_learned_whole(renderer):
    messages = [CALLING[0], {**CALLING[1], "content": "Let me look."}, *CALLING[2:]]
    rendered = renderer(QWEN).render_training(messages, tools=TOOLS)
    assert learned(rendered).startswith("Let me look.\n<tool_call>")


def test_a_template_that_joins_arguments_as_text_is_given_text(renderer):
    rendered = renderer(JOINING).render_training(CALLING)
    assert '<call>find_hours {"town": "Ankara"}<|im_end|>' in rendered.text


def test_a_template_that_wants_short_ids_is_given_some(renderer):
    rendered = renderer(NINE).render_training(CALLING)
    assert rendered.text.count("call00001") == 2


@pytest.mark.parametrize(
    ("template", "messages", "tools", "said"),
    [
        (CHATML_TAGGED, CALLING, None, "leaves out the tool call in message 2 .of find_hours"),
        (CHATML_BARE, [CALLING[0], CALLING[3]], TOOLS, "does not tell the model its tools .find_hours"),
        (QWEN, [CALLING[0], BRIEF, CALLING[3]], None, "message 2 .role developer"),
    ],
)  # fmt: skip
def test_what_a_template_leaves_out_is_told(renderer, template, messages, tools, said):
    with pytest.raises(RenderError, match=said):
        renderer(template).render_training(messages, tools=tools)


@pytest.mark.parametrize(
    "calls", [["find"], [{"name": "find"}], {"function": {}}, [{"function": {"name": 7}}]]
)
def test_a_call_of_another_shape_is_named(renderer, calls):
    messages = [CALLING[0], {"role": "assistant", "content": None, "tool_calls": calls}]
    with pytest.raises(RenderError, match="tool call in message 2"):
        renderer(QWEN).render_training(messages)


def test_a_call_without_words_may_have_null_as_content(renderer):
    messages = [CALLING[0], {**CALLING[1], "content": None}, *CALLING[2:]]
    ours = renderer(QWEN)
    assert ours.render_training(messages) == ours.render_training(CALLING)


def test_a_template_that_escapes_or_drops_thoughts_leaves_nothing_out(renderer, tmp_path):
    messages = [{"role": "user", "content": 'Say "ä\nb"'}, {"role": "assistant", "content": "ä"}]
    assert renderer(ESCAPING).render_training(messages)
    thinking = make_directory(tmp_path / "t", THINKING, None, "<|im_end|>")
    thought = [messages[0], {"role": "assistant", "content": "<think>\nhm, long thoughts\n</think>\n\nä"}]
    assert "long thoughts" not in Renderer.from_directory(thinking).render_training(thought).text


def test_a_plain_text_begins_and_ends_as_the_tokenizer_has_it(tmp_path):
    path = make_directory(tmp_path / "plain", CHATML_BARE, "<s>", "</s>")
    rendered = Renderer.from_directory(path).render_plain("Ankara")
    assert rendered.text == "Ankara</s>"
    assert all(rendered.mask)
    with pytest.raises(RenderError, match="empty"):
        Renderer.from_directory(path).render_plain(" \n")


def test_a_plain_text_that_is_cut_tells_how_many_tokens_went(renderer):
    ours = renderer(CHATML_BARE)
    whole = ours.render_plain("Ankara. " * 50)
    cut = ours.render_plain("Ankara. " * 50, 20)
    assert (len(cut.token_ids), cut.cut_tokens) == (20, len(whole.token_ids) - 20)
    assert whole.text.startswith(cut.text)
    assert "".join(text for text, _ in cut.spans()) == cut.text
