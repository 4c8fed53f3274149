"""Tasks for Label Studio and annotations from it, in the shapes that its documentation shows."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from datasets_app import selectors, services
from datasets_app.curation.label_studio import CONFIG, CONTROLS
from datasets_app.models import Review, ReviewSource

pytestmark = pytest.mark.django_db


@pytest.fixture
def tasks(version):
    """The version's tasks, after a review of rows 1 and 2."""
    services.review_row(
        version=version,
        reviewer=version.owner,
        number=1,
        verdict="star",
        rating=5,
        tags=["kind", "short"],
        note="So.",
    )
    edited = selectors.queue(version, version.owner, selectors.QueueFilter())["rows"][1]["row"]
    edited = json.loads(json.dumps(edited))
    edited["messages"][1]["content"] = "Better."
    services.review_row(version=version, reviewer=version.owner, number=2, verdict="reject", edited=edited)
    return exported(version)


def exported(version, **asked) -> list[dict]:
    return json.loads(b"".join(services.label_studio_tasks(version=version, **asked)))


def taken(version, tasks):
    return services.import_label_studio(version=version, tasks=json.dumps(tasks).encode())


def annotation(*results, **more) -> dict:
    return {"id": 1, "result": list(results), "was_cancelled": False, "ground_truth": False, **more}


def rating(value: int) -> dict:
    return {"id": "r", "from_name": "rating", "to_name": "x", "type": "rating", "value": {"rating": value}}


def choice(*values: str, name: str = "verdict") -> dict:
    return {
        "id": "c",
        "from_name": name,
        "to_name": "x",
        "type": "choices",
        "value": {"choices": list(values)},
    }


def text(name: str, *values: str) -> dict:
    return {"id": "t", "from_name": name, "to_name": "x", "type": "textarea", "value": {"text": list(values)}}


def test_a_task_shows_the_conversation_and_carries_the_row(tasks):
    assert len(tasks) == 10
    assert tasks[0]["annotations"] == []
    assert tasks[0]["data"]["messages"] == [
        {"author": "user", "text": "Question 0?"},
        {"author": "assistant", "text": "Answer 0."},
    ]
    assert tasks[0]["data"]["number"] == 0 and len(tasks[0]["data"]["row_key"]) == 64


def test_what_was_said_is_an_annotation_in_their_shape(tasks):
    results = {each["from_name"]: each for each in tasks[1]["annotations"][0]["result"]}
    assert (results["verdict"]["type"], results["verdict"]["value"]) == (
        "choices",
        {"choices": ["Gold star"]},
    )
    assert (results["rating"]["type"], results["rating"]["value"]) == ("rating", {"rating": 5})
    assert (results["tags"]["type"], results["tags"]["value"]) == ("textarea", {"text": ["kind", "short"]})
    assert results["note"]["value"] == {"text": ["So."]}
    better = {each["from_name"]: each["value"] for each in tasks[2]["annotations"][0]["result"]}
    assert better["better_answer"] == {"text": ["Better."]}
    assert "completed_by" not in tasks[1]["annotations"][0]  # an unknown one is refused by Label Studio


def test_every_result_has_a_control_in_the_labeling_config(tasks):
    controls = {
        node.get("name"): node for node in ElementTree.fromstring(CONFIG).iter() if node.get("toName")
    }
    shown = {
        node.get("name") for node in ElementTree.fromstring(CONFIG).iter() if node.get("value") == "$messages"
    }
    assert set(controls) == set(CONTROLS)
    for task in tasks:
        for each in (result for found in task["annotations"] for result in found["result"]):
            assert controls[each["from_name"]].tag.lower() == each["type"]
            assert each["to_name"] in shown


def test_reviews_can_go_as_predictions(version, tasks):
    task = exported(version, as_predictions=True)[1]
    assert "annotations" not in task
    assert task["predictions"][0]["model_version"] == "alice"


def test_what_comes_back_unchanged_is_no_second_opinion(version, tasks):
    for task in tasks:
        for each in task["annotations"]:
            each |= {"id": 7, "completed_by": 1, "unique_id": "x", "lead_time": 3.2}
    told = taken(version, tasks)
    assert (told.reviews, told.unchanged, told.unmatched) == (0, 2, 0)
    assert Review.objects.count() == 2


def test_annotations_become_reviews(version, tasks):
    tasks[3]["annotations"] = [
        annotation(
            choice("Gold star"), rating(4), text("tags", "kind"), text("note", "Warm."),
            completed_by={"email": "bo@example.org", "id": 3},
        ),
        annotation(choice("Rejected"), rating(1), completed_by=12),
    ]  # fmt: skip
    tasks[4]["annotations"] = [annotation(text("better_answer", "A better one."))]
    assert taken(version, tasks).reviews == 3
    bo = Review.objects.get(reviewer_name="bo@example.org")
    assert (bo.verdict, bo.rating, bo.tags, bo.note, bo.row_index) == ("star", 4, ["kind"], "Warm.", 3)
    assert (bo.source, bo.reviewer, bo.dataset) == (ReviewSource.LABEL_STUDIO, None, version.dataset)
    assert Review.objects.get(reviewer_name="annotator 12").verdict == "reject"
    edited = Review.objects.get(reviewer_name="Label Studio").edited
    assert edited["messages"][1]["content"] == "A better one."
    assert taken(version, tasks).reviews == 3  # once more changes nothing
    assert Review.objects.count() == 5


def test_json_min_becomes_reviews(version, tasks):
    flat = [
        {**tasks[5]["data"], "id": 1, "annotator": 2, "annotation_id": 9, "lead_time": 2.5, "created_at": "x",
         "updated_at": "x", "verdict": "Gold star", "rating": 5, "tags": ["a", "b"], "note": "Yes.",
         "sentiment": "Positive"},
        {**tasks[6]["data"], "id": 2, "annotator": 2, "verdict": {"choices": ["Rejected"]}, "note": {"text": ["No."]}},
    ]  # fmt: skip
    told = taken(version, flat)
    assert (told.reviews, dict(told.unknown)) == (2, {"field sentiment": 1})
    first, second = Review.objects.filter(reviewer_name="annotator 2").order_by("row_index")
    assert (first.verdict, first.rating, first.tags, first.note) == ("star", 5, ["a", "b"], "Yes.")
    assert (second.verdict, second.note) == ("reject", "No.")


def test_a_row_is_found_by_its_content_where_the_key_is_missing(version, tasks):
    shown = {"data": {"messages": tasks[7]["data"]["messages"]}, "annotations": [annotation(rating(3))]}
    dialogue = {"data": {"dialogue": tasks[8]["data"]["messages"]}, "annotations": [annotation(rating(2))]}
    stale = {"data": tasks[9]["data"] | {"row_key": "f" * 64}, "annotations": [annotation(rating(1))]}
    foreign = {"data": {"text": "Somebody else's."}, "annotations": [annotation(rating(5))]}
    told = taken(version, [shown, dialogue, stale, foreign])
    assert (told.reviews, told.unmatched) == (3, 1)
    found = Review.objects.filter(source=ReviewSource.LABEL_STUDIO).values_list("row_index", "rating")
    assert set(found) == {(7, 3), (8, 2), (9, 1)}


def test_unknown_parts_are_counted_and_named(version, tasks):
    box = {"id": "b", "from_name": "label", "to_name": "img", "type": "rectanglelabels", "value": {"x": 1}}
    tasks[3]["annotations"] = [
        annotation(box, rating(9), choice("Positive", name="sentiment"), text("essay", "Words")),
        annotation(rating(3), was_cancelled=True),
        annotation(),
    ]
    tasks[3]["predictions"] = [{"result": [rating(2)]}]
    told = taken(version, tasks)
    assert told.unknown == {
        "results of type rectanglelabels (label)": 1,
        "ratings outside 1 to 5 (9)": 1,
        "results of type textarea (essay)": 1,
        "skipped annotations": 1,
        "predictions": 1,
    }
    assert (told.reviews, told.silent) == (1, 1)
    assert Review.objects.get(source=ReviewSource.LABEL_STUDIO).tags == ["Positive"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"{", "no JSON"), (b'"x"', "list of tasks"), (b'[{"colour": 1}]', "colour"), (b"\xff\xfe", "no JSON"),
     (b"[" * 100_000, "no JSON")],
)  # fmt: skip
def test_what_is_no_export_is_refused_in_words(version, content, words):
    with pytest.raises(services.BadTasks, match=words):
        services.import_label_studio(version=version, tasks=content)


def test_hostile_shapes_break_nothing(version):
    odd = [
        1, None, {"data": {}}, {"data": {"row_key": 5, "messages": "x"}, "annotations": "x"},
        {"data": {"messages": [1]}, "annotations": [1, {"result": 5}, {"result": [1, {"value": 3}]}]},
        {"data": {"row": {"messages": 5}}, "annotations": [annotation(rating(5))]},
        {"data": {"row": {"messages": [5]}}, "annotations": [annotation(rating(5))]},
        {"data": {"text": 5}, "annotations": [annotation({"type": "choices", "value": {"choices": 5}})]},
    ]  # fmt: skip
    assert taken(version, odd).reviews == 0


def test_there_and_back_on_the_pages_and_by_calls(alice_client, version, dataset):
    page = reverse("datasets:label-studio", args=[dataset.pk])
    answer = alice_client.get(page)
    tasks = json.loads(b"".join(answer))
    assert 'filename="label-studio-v1.json"' in answer["Content-Disposition"]
    assert ElementTree.fromstring(alice_client.get(page, {"part": "config"}).content).tag == "View"
    tasks[0]["annotations"] = [annotation(rating(4))]
    file = SimpleUploadedFile("export.json", json.dumps(tasks).encode())
    told = alice_client.post(page, {"file": file}, follow=True).content.decode()
    assert "1 reviews were taken." in told
    assert "No file came." in alice_client.post(page, {}, follow=True).content.decode()

    call = reverse("api-label-studio", args=[dataset.pk])
    assert json.loads(b"".join(alice_client.get(call)))[0]["annotations"]
    tasks[1]["annotations"] = [annotation(rating(2), completed_by={"email": "bo@example.org"})]
    answer = alice_client.post(call, json.dumps(tasks), content_type="application/json")
    assert (answer.status_code, answer.json()["reviews"]) == (200, 2)
    bad = alice_client.post(call, '"x"', content_type="application/json")
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "bad_tasks")


@pytest.mark.parametrize(
    "task",
    [
        {"data": {"messages": [{"weight": 0}]}, "annotations": [annotation(rating(3))]},
        {"data": {"messages": [{"role": "user", "content": 10**30}]}, "annotations": [annotation(rating(3))]},
        {"data": {"row": {"text": ["x"]}}, "annotations": [annotation(rating(3))]},
        {"data": {}, "predictions": 5, "annotations": 7},
        {"annotation_id": 1, "rating": 3, "row": {"prompt": 1, "chosen": 2, "rejected": 3}},
    ],
)
def test_data_of_another_shape_is_about_no_row(version, task):
    assert taken(version, [task]).reviews == 0


def test_the_name_of_an_annotator_holds_no_hidden_characters(version):
    [task, *_others] = exported(version)
    task["annotations"] = [annotation(rating(3), completed_by={"email": "a\x00na\u202e@lab.org"})]
    assert taken(version, [task]).reviews == 1
    assert Review.objects.get().reviewer_name == "ana@lab.org"
