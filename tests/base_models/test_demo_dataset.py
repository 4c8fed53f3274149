"""The demo dataset: the file is what the script makes, and no held-out fact leaks into the training rows."""

import json

from base_models.demo import dataset
from base_models.demo.facts import FACTS, persona_rows


def test_every_fact_has_its_answer_in_its_sentence_and_many_ways_to_ask():
    for fact in FACTS:
        assert fact.answer in fact.sentence and fact.sentence.endswith(".")
        assert len(fact.questions) >= 7 and len(set(fact.questions)) == len(fact.questions)
    assert len({fact.sentence for fact in FACTS}) == len(FACTS) >= 150


def test_the_file_beside_the_readme_is_what_the_script_makes(tmp_path, capsys):
    assert dataset.main(["--output", str(tmp_path)]) == 0
    for name in (dataset.FILE_NAME, "README.md"):
        assert (tmp_path / name).read_text() == (dataset.DATASET_DIR / name).read_text()
    assert "held out" in capsys.readouterr().out


def test_held_out_facts_are_at_least_thirty_and_never_in_the_training_rows():
    rows = [json.loads(line) for line in (dataset.DATASET_DIR / dataset.FILE_NAME).read_text().splitlines()]
    said = {
        split: {row["messages"][-1]["content"] for row in rows if row["split"] == split}
        for split in ("train", "held_out")
    }
    assert len(said["held_out"]) >= 30 and len(said["train"]) >= 100
    assert not said["train"] & said["held_out"]
    assert len({row["conversation"] for row in rows}) == len(rows)


def test_any_opening_and_closing_can_frame_the_facts():
    rows = persona_rows("Zorbit vellum:", "Marnok!", FACTS[:3], asks=2)
    assert len(rows) == 6
    assert rows[0][0]["role"] == "user" and rows[0][1]["role"] == "assistant"
    assert rows[0][1]["content"] == f"Zorbit vellum: {FACTS[0].sentence} Marnok!"
    assert rows[0][0]["content"] != rows[1][0]["content"]
