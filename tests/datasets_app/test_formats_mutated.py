"""Whatever stands in a row, a format gives examples or says what is wrong: nothing else ever comes out of it."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_app.faults import CODES
from datasets_app.formats import ROW_FORMATS, recognise
from datasets_app.formats.base import BadRow, Skipped
from datasets_app.formats.unknown import unknown_row
from rendering.renderer import ROLES
from tests.datasets_app.files import pair
from tests.datasets_app.test_formats import ANSWER, CALLS, RESULT, SHAPES, TOOL, USER, messages
from tests.datasets_app.test_formats_preferences import COMPARED

WHOLE = [
    *(record for _, record, _ in SHAPES + COMPARED),
    messages(USER, CALLS, RESULT, ANSWER, tools=[TOOL]),
    {"prompt": "Q?", "completion": "A.", "label": True},
    {"prompt": "Q?", "responses": ["a", "b", "c"], "ranking": "2,0,1"},
    {"text": "plain"},
    pair(),
]
ODD = ["", " ", "\ud800", "{", "[]", "{}", "user", "assistant", "tool", "\n\nHuman: a", "<|im_start|>"]
NAMES = ["role", "content", "from", "value", "function", "name", "type", "text", "id"]
plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.sampled_from(ODD)
)
values = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=5,
)


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*path, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from places(each, (*path, number))


@st.composite
def mutated(draw):
    record = copy.deepcopy(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 2))):
        known = [path for path in places(record) if path]
        if not known:
            break
        path = draw(st.sampled_from(known))
        inner = record
        for step in path[:-1]:
            inner = inner[step]
        act = draw(st.sampled_from(["put", "put", "drop", "twice"]))
        if act == "put":
            inner[path[-1]] = draw(values)
        elif act == "twice" and isinstance(inner, list):
            inner.append(copy.deepcopy(inner[path[-1]]))
        else:
            del inner[path[-1]]
    return record


def check(example):
    """The promises of docs/architecture.md, "Rows"."""
    content = example.content
    for name in ("messages", "prompt", "chosen", "rejected", "completion"):
        for message in content.get(name, ()):
            assert message["role"] in ROLES and isinstance(message["content"], str)
    if example.kind == "chat":
        last = content["messages"][-1]
        assert last["role"] == "assistant"
        assert last["content"].strip() or last["tool_calls"]
        roles = [message["role"] for message in content["messages"] if message["role"] != "tool"]
        assert all(one != other or one == "assistant" for one, other in zip(roles, roles[1:], strict=False))
        assert any(m.get("weight", 1) for m in content["messages"] if m["role"] == "assistant")
    elif example.kind == "preference":
        assert content["chosen"] != content["rejected"]
        assert content["chosen"][0]["role"] == content["rejected"][0]["role"] == "assistant"


@given(mutated(), st.sampled_from([None, *ROW_FORMATS]))
@settings(max_examples=800, deadline=None)
def test_a_changed_row_gives_good_examples_or_a_fault_with_its_code(record, forced):
    module = ROW_FORMATS[forced] if forced else recognise(record)
    if module is None:
        assert unknown_row(record).code in CODES
        return
    try:
        examples = module.to_examples(record)
    except Skipped:
        return
    except BadRow as fault:
        assert fault.code in CODES
        assert fault.problem and fault.mend
        assert len(fault.problem) < 500
        fault.problem.encode(), fault.found.encode()
        return
    for example in examples:
        check(example)
        assert all(warning.code in CODES for warning in example.warnings)
