"""The API of versions: made, compared, erased; what came of what."""

import pytest
from rest_framework.test import APIClient

from accounts.services import create_token
from datasets_app.models import DatasetVersion
from datasets_app.services import versions
from tests.datasets_app.test_versions_recipes import bring, make, row

pytestmark = pytest.mark.django_db


def client_of(user, *scopes):
    _token, plain = create_token(user=user, name="x", scopes=scopes or ["read", "write"])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {plain}")
    return client


@pytest.fixture
def api(alice):
    return client_of(alice)


@pytest.fixture
def version(alice):
    return bring(alice, "Sums", *(row(f"What is {n}?", f"It is {n}.") for n in range(20)))


@pytest.fixture
def url(version):
    return f"/api/v1/datasets/{version.dataset_id}/versions/{version.number}/"


def test_a_version_is_previewed_made_and_read(api, url):
    recipe = {"make": "filter", "settings": {"mode": "drop", "contains": "What is 7?"}}
    shown = api.post(f"{url}derive/preview/", recipe, format="json")
    assert (shown.status_code, shown.data["words"]) == (200, "20 rows → 19: 1 row goes.")
    made = api.post(f"{url}derive/", recipe, format="json")
    assert made.status_code == 201
    assert (made.data["number"], made.data["row_count"], made.data["made_by"]) == (2, 19, "filtered")
    one = api.get(url.replace("/1/", "/2/")).data
    assert one["made_words"] == "filtered: 1 row left out" and one["made_from"]["told"] == {"dropped": 1}
    rows = api.get(url.partition("versions")[0] + "rows/?page_size=500").data["results"]
    assert len(rows) == 19


def test_a_recipe_that_does_not_fit_is_answered_with_the_setting(api, url):
    answer = api.post(f"{url}derive/", {"make": "split", "settings": {"share": 7}}, format="json")
    assert answer.status_code == 400 and "share" in answer.data["error"]["message"]
    assert answer.data["error"]["code"] == "cannot_derive"
    assert api.post(f"{url}derive/", {"make": "paint"}, format="json").data["error"]["field"] == "make"
    answer = api.post(
        f"{url}derive/",
        {"make": "edit", "settings": {"changes": [{"row": 99, "delete": True}]}},
        format="json",
    )
    assert answer.status_code == 400 and "no row 99" in answer.data["error"]["message"]


def test_changes_to_an_old_version_are_a_conflict_where_that_is_asked(api, url, version):
    make(version, "filter", mode="drop", contains="What is 7?")
    recipe = {"make": "edit", "settings": {"changes": [{"row": 0, "delete": True}]}, "newest_only": True}
    answer = api.post(f"{url}derive/", recipe, format="json")
    assert answer.status_code == 409 and answer.data["error"]["details"] == {"newest": 2}
    assert api.post(f"{url}derive/", {**recipe, "newest_only": False}, format="json").data["number"] == 3


def test_a_large_one_is_answered_with_its_import(api, url, monkeypatch):
    monkeypatch.setattr(versions, "ROWS_AT_ONCE", 5)
    monkeypatch.setattr("datasets_app.services.imports.send_import", lambda pk: None)
    answer = api.post(f"{url}derive/", {"make": "split", "settings": {"seed": 9}}, format="json")
    assert (answer.status_code, answer.data["status"], answer.data["source"]) == (202, "queued", "derived")


def test_two_versions_are_compared(api, url, version):
    content = {
        "messages": [{"role": "user", "content": "What is 3?"}, {"role": "assistant", "content": "Three."}]
    }
    make(version, "edit", changes=[{"row": 3, "content": content}, {"row": 5, "delete": True}])
    found = api.get(f"{url}compare/?number=2").data
    assert found["counts"] == {"same": 18, "changed": 1, "only_first": 1, "only_second": 0, "moved": 0}
    assert found["results"][0]["turns"][1]["state"] == "changed"
    gone = api.get(f"{url}compare/?number=2&kind=only_first").data
    assert [each["first"] for each in gone["results"]] == [5]
    assert api.get(f"{url}compare/?number=2&kind=none").status_code == 400
    assert api.get(f"{url}compare/?number=two").data["error"]["field"] == "number"
    assert api.get(f"{url}compare/?number=77").status_code == 404


def test_the_lineage_leads_to_jobs_and_adapters(api, url, version):
    made = make(version, "filter", mode="drop", contains="What is 7?")
    family = api.get(f"/api/v1/datasets/{version.dataset_id}/lineage/").data
    assert [(each["number"], each["parent"]) for each in family] == [(1, None), (2, version.pk)]
    assert family[1]["jobs_url"].endswith(f"?dataset_version={made.pk}")
    assert api.get(family[1]["jobs_url"]).data["results"] == []
    assert api.get(family[1]["adapters_url"]).status_code == 200


def test_erasing_is_told_beforehand_and_done(api, url, version):
    made = make(version, "filter", mode="drop", contains="What is 7?")
    told = api.get(f"/api/v1/datasets/{version.dataset_id}/erasure/?version=2").data
    assert (told["versions"], told["rows"], told["learners"]) == ([2], 19, [])
    assert api.delete(url.replace("/1/", "/2/")).status_code == 204
    assert not DatasetVersion.objects.filter(pk=made.pk).exists()
    assert api.get(url.replace("/1/", "/2/")).status_code == 404


def test_a_stranger_and_a_reader_change_nothing(url, version, alice, mallory):
    stranger, reader = client_of(mallory), client_of(alice, "read")
    recipe = {"make": "split", "settings": {"seed": 9}}
    for call in ("derive/", "derive/preview/"):
        assert stranger.post(url + call, recipe, format="json").status_code == 404
        assert reader.post(url + call, recipe, format="json").status_code == 403
    assert stranger.get(f"{url}compare/?number=1").status_code == 404
    assert stranger.delete(url).status_code == 404 and reader.delete(url).status_code == 403
    hers = bring(mallory, "Hers", row("Q", "A"))
    mine = client_of(alice)
    assert mine.get(f"{url}compare/?number=1&other={hers.dataset_id}").status_code == 404
    merge = {"make": "merge", "settings": {"with_versions": [str(hers.pk)]}}
    assert mine.post(f"{url}derive/", merge, format="json").status_code == 400
    assert version.dataset.versions.count() == 1
