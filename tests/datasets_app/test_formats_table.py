"""What every real file in tests/data is read as: format, rows and verdict, in one table.

The verdict is that of `validate_dataset`, with its default checks: a set that gives different answers to the same
question is told of that.
"""

import pytest

from datasets_app.formats import FORMATS
from datasets_app.reading import check_file, read_examples
from tests.datasets_app.files import DATA, EQ_12_JSON, EQ_12_JSONL

TABLE = """
| file                                                       | format              | kind       | rows | verdict | codes               |
|------------------------------------------------------------|---------------------|------------|------|---------|---------------------|
| brightrun/EQ-12-conversations-demo.json                    | brightrun-lora-v4   | chat       |   44 | accept  |                     |
| brightrun/EQ-12-conversations-demo.jsonl                   | brightrun-lora-v4   | chat       |   44 | accept  |                     |
| hafs/samples.jsonl                                         | hafs                | chat       |    7 | accept  |                     |
| formats/axolotl/alpaca.json                                | alpaca              | chat       |    2 | accept  |                     |
| formats/axolotl/conversation.json                          | sharegpt            | chat       |    1 | accept  |                     |
| formats/fastchat/dummy_conversation.json                   | sharegpt            | chat       |  500 | warn    | contradiction, near_duplicate |
| formats/llamafactory/identity.json                         | alpaca              | chat       |   91 | warn    | contradiction, near_duplicate, placeholder |
| formats/torchtune/alpaca_tiny.json                         | alpaca              | chat       |  100 | accept  |                     |
| formats/torchtune/chat_tiny.json                           | sharegpt            | chat       |    1 | accept  |                     |
| formats/torchtune/hh_rlhf_tiny.json                        | preference-implicit | preference |    1 | accept  |                     |
| formats/torchtune/instruct_tiny.json                       | alpaca              | chat       |    2 | accept  |                     |
| formats/torchtune/stack_exchange_paired_tiny.json          | preference          | preference |   25 | accept  |                     |
| formats/trl_zen/conversational_implicit_prompt_preference.jsonl | preference-implicit | preference |   19 | accept  |                |
| formats/trl_zen/conversational_language_modeling.jsonl     | messages            | chat       |   19 | accept  |                     |
| formats/trl_zen/conversational_preference.jsonl            | preference          | preference |   19 | accept  |                     |
| formats/trl_zen/conversational_prompt_completion.jsonl     | prompt-completion   | chat       |   19 | accept  |                     |
| formats/trl_zen/conversational_prompt_only.jsonl           | unknown             |            |    0 | reject  | unsupported_format  |
| formats/trl_zen/conversational_unpaired_preference.jsonl   | unpaired-preference | unpaired   |   19 | accept  |                     |
| formats/trl_zen/standard_implicit_prompt_preference.jsonl  | preference-implicit | preference |   19 | accept  |                     |
| formats/trl_zen/standard_language_modeling.jsonl           | text                | text       |   19 | accept  |                     |
| formats/trl_zen/standard_preference.jsonl                  | preference          | preference |   19 | accept  |                     |
| formats/trl_zen/standard_prompt_completion.jsonl           | prompt-completion   | chat       |   19 | accept  |                     |
| formats/trl_zen/standard_prompt_only.jsonl                 | unknown             |            |    0 | reject  | unsupported_format  |
| formats/trl_zen/standard_stepwise_supervision.jsonl        | unknown             |            |    0 | reject  | unsupported_format  |
| formats/trl_zen/standard_unpaired_preference.jsonl         | unpaired-preference | unpaired   |   19 | accept  |                     |
"""  # noqa: E501

ROWS = [[cell.strip() for cell in line.strip("| ").split("|")] for line in TABLE.strip().splitlines()[2:]]
ROWS = [row + [""] * (6 - len(row)) for row in ROWS]


@pytest.mark.parametrize(
    ("file", "format_name", "kind", "rows", "verdict", "codes"), ROWS, ids=lambda cell: cell
)
def test_each_real_file_is_read_as_the_table_says(file, format_name, kind, rows, verdict, codes):
    report = check_file(DATA / file)
    assert (report.format, report.kind, report.rows, report.verdict) == (
        format_name,
        kind,
        int(rows),
        verdict,
    )
    assert ", ".join(report.counts) == codes


def test_the_table_names_every_real_file():
    there = {path.relative_to(DATA).as_posix() for path in DATA.rglob("*.json*")}
    folders = ("brightrun/", "hafs/", "formats/")
    assert {row[0] for row in ROWS} == {name for name in there if name.startswith(folders)}


def test_each_module_says_its_name_kind_and_shape():
    for name, module in FORMATS.items():
        assert name == module.NAME
        assert module.KIND in ("chat", "text", "preference", "unpaired")
        assert module.SHAPE


def test_stepwise_supervision_and_prompts_alone_are_refused_with_the_reason():
    for file, said in (
        ("standard_stepwise_supervision", "stepwise supervision"),
        ("standard_prompt_only", "without an answer"),
        ("conversational_prompt_only", "without an answer"),
    ):
        reading = read_examples(DATA / f"formats/trl_zen/{file}.jsonl")
        assert list(reading) == []
        assert said in reading.refusal.problem
        assert reading.refusal.code == "unsupported_format"
        assert "completion" in reading.refusal.mend


def test_json_and_jsonl_of_eq_12_hold_the_same_44_samples():
    both = [
        [{name: value for name, value in row.items() if name != "line"} for row in read_examples(path)]
        for path in (EQ_12_JSON, EQ_12_JSONL)
    ]
    assert len(both[0]) == 44
    assert both[0] == both[1]


def test_no_sample_of_eq_12_has_two_turns_of_one_person_in_a_row():
    for row in read_examples(EQ_12_JSON):
        roles = [message["role"] for message in row["messages"]]
        assert all(one != other for one, other in zip(roles, roles[1:], strict=False))
        assert roles[-1] == "assistant"


def test_assembly_is_no_noise():
    rows = list(read_examples(DATA / "hafs/samples.jsonl"))
    texts = "\n".join(message["content"] for row in rows for message in row["messages"])
    assert "$7E:0E20" in texts
    assert "AND.w #$001F        ; Mask" in texts


def test_continued_texts_share_their_beginning_as_the_question():
    row = next(iter(read_examples(DATA / "formats/trl_zen/standard_implicit_prompt_preference.jsonl")))
    assert row["prompt"] == [{"role": "user", "content": "Beautiful is better than"}]
    assert row["chosen"] == [{"role": "assistant", "content": "ugly."}]
    assert row["rejected"] == [{"role": "assistant", "content": "the moon."}]
