"""What comes in is kept by its hash, in versions that never change."""

import json
from pathlib import Path

import pytest

from apex.common import files
from datasets_app import selectors, services
from datasets_app.models import Dataset, DatasetVersion
from tests.datasets_app.files import EQ_12_JSON, chat, chats, json_lines

pytestmark = pytest.mark.django_db


def stored_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def test_a_file_becomes_a_dataset_with_its_first_version(alice, upload, own_storage):
    version = services.create_dataset(
        owner=alice, name="Chats", file=upload(), file_name="C:\\x\\help desk.jsonl"
    )
    assert (version.dataset.name, version.number, version.format) == ("Chats", 1, "messages")
    assert (version.made_by, version.file_name) == ("upload", "help desk.jsonl")
    assert (version.row_count, version.train_count + version.held_out_count) == (10, 10)
    assert version.conversation_count == 10
    assert files.local_path(version.source_sha256).read_text() == chats(10)
    rows = [json.loads(line) for line in files.local_path(version.rows_sha256).read_text().splitlines()]
    assert [row["split"] for row in rows].count("held_out") == version.held_out_count == 2


def test_the_real_eq_12_has_the_counts_that_its_page_shows(alice):
    version = services.create_dataset(owner=alice, name="EQ-12", file=EQ_12_JSON, file_name=EQ_12_JSON.name)
    assert (version.format, version.row_count, version.conversation_count) == ("brightrun-lora-v4", 44, 12)
    assert (version.fault_count, sum(version.skipped.values())) == (0, 45)
    assert version.file_bytes == EQ_12_JSON.stat().st_size


def test_typed_text_keeps_its_warnings(alice):
    text = json_lines(chat(), "{oops", chat("Two?"))
    version = services.create_dataset(owner=alice, name="Typed", text=text)
    assert (version.made_by, version.row_count, version.fault_count) == ("typed", 2, 1)
    assert version.made_from == {"left_out": 1, "warnings": 0}
    assert version.faults[0]["line"] == 2
    assert set(version.faults[0]) == {"line", "problem", "mend", "severity", "found", "code"}


@pytest.mark.parametrize("text", ["", "   ", "hello", "[]", "\x00\x01", '{"prompt": "a"}'])
def test_what_cannot_be_used_leaves_nothing_behind(alice, own_storage, text):
    with pytest.raises(services.DatasetRefused) as refused:
        services.create_dataset(owner=alice, name="Bad", text=text)
    assert str(refused.value)
    assert refused.value.faults[0]["severity"] == "refusal"
    assert not Dataset.objects.exists()
    assert not own_storage.exists() or stored_files(own_storage) == 0


@pytest.mark.parametrize("says_its_size", [True, False])
def test_more_than_the_limit_is_refused_while_it_comes(alice, upload, settings, says_its_size):
    settings.UPLOAD_LIMIT_BYTES = 100
    file = upload()
    if not says_its_size:
        file.size = None
    with pytest.raises(services.TooLarge):
        services.create_dataset(owner=alice, name="Big", file=file)


def test_a_name_is_taken_once_per_owner(alice, mallory, dataset):
    with pytest.raises(services.NameTaken):
        services.create_dataset(owner=alice, name=" Help desk ", text=chats(2))
    with pytest.raises(services.NameTaken):
        services.create_dataset(owner=alice, name="  ", text=chats(2))
    assert services.create_dataset(owner=mallory, name="Help desk", text=chats(2)).dataset.owner == mallory


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("letters.jsonl", "letters"),
        ("C:\\mine\\letters.CSV", "letters"),
        ("Help desk.json", "Help desk 2"),
        ("v1.2 notes", "v1.2 notes"),
        ("", "Examples"),
        (".json", ".json"),
        ("a" * 300, "a" * 115),
        ("bell\x07.csv", "bell"),
    ],
)
def test_a_free_name_is_like_the_file_and_unlike_the_others(alice, dataset, wanted, name):
    assert services.free_name(owner=alice, wanted=wanted) == name


def test_a_new_version_follows_and_the_first_stays(dataset, version, upload):
    second = services.add_version(dataset=dataset, file=upload(chats(12)), file_name="more.jsonl")
    assert (second.number, second.parent, second.row_count) == (2, version, 12)
    assert dataset.latest == second
    version.refresh_from_db()
    assert version.row_count == 10
    with pytest.raises(TypeError):
        version.save()
    with pytest.raises(services.DatasetRefused, match="version 2"):
        services.add_version(dataset=dataset, text=chats(12))


def test_renaming_refuses_a_name_in_use(alice, dataset):
    services.create_dataset(owner=alice, name="Other", text=chats(2))
    services.rename_dataset(dataset=dataset, name="Renamed", description=" Of 2025 ")
    dataset.refresh_from_db()
    assert (dataset.name, dataset.description) == ("Renamed", "Of 2025")
    with pytest.raises(services.NameTaken):
        services.rename_dataset(dataset=dataset, name="Other")
    assert dataset.name == "Renamed"


def test_deleting_takes_the_files_that_nobody_else_has(
    alice, mallory, dataset, own_storage, django_capture_on_commit_callbacks
):
    services.create_dataset(owner=mallory, name="Same", text=chats(10))
    services.add_version(dataset=dataset, text=chats(3))
    assert stored_files(own_storage) == 6
    with django_capture_on_commit_callbacks(execute=True):
        services.delete_dataset(dataset=dataset)
    assert not DatasetVersion.objects.for_user(alice).exists()
    assert stored_files(own_storage) == 3


@pytest.mark.parametrize("is_new", [True, False])
def test_bytes_that_are_deleted_while_the_same_are_brought_are_stored_again(
    mallory, dataset, version, monkeypatch, django_capture_on_commit_callbacks, is_new
):
    hers = services.create_dataset(owner=mallory, name="Hers", text=chats(3)).dataset
    add_row = services.bringing.add_row

    def add_row_after_a_deletion(*given):
        with django_capture_on_commit_callbacks(execute=True):
            services.delete_dataset(dataset=dataset)
        with pytest.raises(FileNotFoundError):
            files.open_stored(version.source_sha256)
        return add_row(*given)

    monkeypatch.setattr(services.bringing, "add_row", add_row_after_a_deletion)
    if is_new:
        brought = services.create_dataset(owner=mallory, name="Same", text=chats(10))
    else:
        brought = services.add_version(dataset=hers, text=chats(10))
    assert brought.source_sha256 == version.source_sha256
    assert files.local_path(brought.source_sha256).read_text() == chats(10)
    assert selectors.preview(brought, 0)["row"]["messages"][0]["content"] == "Question 0?"


def test_bytes_that_are_brought_while_the_same_are_deleted_are_put_back(alice, own_storage, monkeypatch):
    kept = files.put_bytes(b"the same bytes")
    answers = iter([False, True])
    monkeypatch.setattr(services.receiving, "is_used", lambda sha256: next(answers))
    services.delete_unused_files({kept.sha256})
    assert files.local_path(kept.sha256).read_bytes() == b"the same bytes"


def test_preview_walks_the_rows_and_stops_at_the_ends(version):
    first, last = selectors.preview(version, -3), selectors.preview(version, 99)
    assert (first["number"], first["previous_index"], first["next_index"]) == (1, None, 1)
    assert (last["number"], last["previous_index"], last["next_index"]) == (10, 8, None)
    assert first["row"]["messages"][0]["content"] == "Question 0?"
    assert [turn["learned"] for turn in first["turns"]] == [False, True]


def test_preview_colours_only_what_is_learned(alice):
    version = services.create_dataset(owner=alice, name="EQ-12", file=EQ_12_JSON)
    turns = selectors.preview(version, 2)["turns"]
    assert len(turns) > 3
    assert [turn["learned"] for turn in turns] == [False] * (len(turns) - 1) + [True]


def test_the_example_set_is_made_once_per_owner(alice, mallory, tmp_path, monkeypatch):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "persona.jsonl").write_text(json_lines(chat(), chat("Held out?", split="held_out")))
    monkeypatch.setattr(services.bringing, "DEMO_DIR", folder)
    version = services.demo_dataset(owner=alice)
    assert (version.made_by, version.train_count, version.held_out_count) == ("demo", 1, 1)
    assert services.demo_dataset(owner=alice) == version
    assert services.demo_dataset(owner=mallory) != version


def test_a_missing_example_set_is_said_in_words(alice, tmp_path, monkeypatch):
    monkeypatch.setattr(services.bringing, "DEMO_DIR", tmp_path)
    with pytest.raises(services.DatasetRefused, match="not on this machine"):
        services.demo_dataset(owner=alice)


def test_the_example_set_that_comes_along_has_test_rows(alice):
    version = services.demo_dataset(owner=alice)
    assert version.fault_count == 0
    assert version.train_count >= 100
    assert version.held_out_count >= 30
