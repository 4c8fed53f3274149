"""New versions from the rows of old ones."""

from pathlib import Path

import msgspec
import pytest

from apex.common import files
from datasets_app import services
from datasets_app.models import Dataset, DatasetVersion, MadeBy
from tests.datasets_app.files import chats

pytestmark = pytest.mark.django_db


def rows_of(version):
    with files.open_stored(version.rows_sha256) as stored:
        return [msgspec.json.decode(line) for line in stored]


def derive(version, rows, **more):
    return services.derive_version(
        version=version, rows=rows, **{"made_by": MadeBy.FILTERED, "made_from": {}} | more
    )


def test_rows_make_the_next_version_and_the_parent_stays(version):
    before = rows_of(version)
    made = derive(version, list(services.stored_rows(version))[:4])
    assert (made.number, made.parent, made.row_count) == (2, version, 4)
    assert made.made_by == MadeBy.FILTERED and made.made_from["rows_before"] == 10
    assert made.train_count + made.held_out_count == 4
    assert rows_of(version) == before


def test_each_row_knows_where_it_first_stood(version):
    second = derive(version, [row for row in services.stored_rows(version) if row["line"] > 3])
    third = derive(second, list(services.stored_rows(second))[1:])
    first = rows_of(third)[0]
    assert first["origin"] == {"version": str(version.pk), "row": 4}
    assert first["messages"] == rows_of(version)[4]["messages"]


def test_the_same_rows_are_refused_with_the_version_that_has_them(version):
    with pytest.raises(services.CannotDerive, match="version 1 holds the very same rows"):
        derive(version, services.stored_rows(version))
    assert version.dataset.versions.count() == 1


def test_no_row_at_all_is_refused(version):
    with pytest.raises(services.CannotDerive, match="No row would be left"):
        derive(version, [])


def test_a_row_of_another_kind_is_refused_by_number(version):
    rows = [*services.stored_rows(version), {"text": "x", "conversation": "c", "line": 1, "split": "train"}]
    with pytest.raises(services.CannotDerive, match="Row 11 is of the kind “text”, expected “chat”"):
        derive(version, rows)


def test_a_conversation_in_both_splits_is_kept_aside_whole(version):
    rows = [{**row, "conversation": "one"} for row in services.stored_rows(version)]
    rows[3]["split"] = "held_out"
    rows.append({**rows[0], "conversation": "two", "split": "train"})
    made = derive(version, rows)
    assert (made.held_out_count, made.train_count, made.conversation_count) == (10, 1, 2)
    assert {row["split"] for row in rows_of(made)[:10]} == {"held_out"}


def test_what_the_checks_find_is_said_with_the_row_number(version):
    rows = list(services.stored_rows(version))
    rows[6]["messages"][-1]["content"] = "Write to anna.muster@posteo.de."
    made = derive(version, rows)
    assert made.verdict == "warn" and made.fault_count == 1
    assert made.faults[0]["line"] == 7 and made.faults[0]["code"] == "personal_data"
    with files.open_stored(made.report_sha256) as stored:
        report = msgspec.json.decode(stored.read())
    assert report["rows"] == 10 and report["warnings"][0]["line"] == 7


def test_a_reference_cannot_be_changed(version):
    DatasetVersion.objects.filter(pk=version.pk).update(rows_sha256="")
    version.refresh_from_db()
    with pytest.raises(services.CannotDerive, match="Bring the file as an upload"):
        derive(version, [])


def test_rows_that_are_erased_while_they_are_read_do_not_come_back(version):
    other = services.create_dataset(owner=version.owner, name="Other", text=chats(3))

    def rows():
        yield from list(services.stored_rows(version))[1:]
        services.delete_version(version=other)

    before = stored_names()
    with pytest.raises(services.CannotDerive, match="erased meanwhile"):
        services.derive_version(
            version=version, rows=rows(), made_by=MadeBy.MERGED, made_from={}, parents=[other]
        )
    assert version.dataset.versions.count() == 1
    assert stored_names() <= before


def test_a_set_that_is_deleted_meanwhile_takes_no_more(version, upload):
    dataset = version.dataset
    services.delete_dataset(dataset=Dataset.objects.get(pk=dataset.pk))
    before = stored_names()
    with pytest.raises(services.DatasetRefused, match="deleted meanwhile"):
        services.add_version(dataset=dataset, file=upload(chats(4)))
    assert stored_names() == before


def stored_names() -> set[str]:
    folder = Path(files.storage().location)
    return {path.name for path in folder.rglob("*") if path.is_file()}
