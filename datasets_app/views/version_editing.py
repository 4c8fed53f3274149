"""Rows edited one after another: what was changed waits in the session until all of it becomes one version."""

from typing import Any

import msgspec
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods

from apex.common.calls import curl
from datasets_app import row_forms, services
from datasets_app.curation.edits import ROLES, BadEdit, check_edit
from datasets_app.deriving.material import BadRecipe
from datasets_app.models import DatasetVersion
from datasets_app.row_forms import RowFields
from datasets_app.selectors import comparing
from datasets_app.views.versions import arrive, to_version, version_or_404

# What waits is read with every page, so it must stay small; then it is time to save.
DRAFT_BYTES = 1024 * 1024
DRAFT_CHANGES = 500


class Draft:
    """The changes of one version that were not saved yet: row number (as text, from 0) → change."""

    def __init__(self, request: HttpRequest, version: DatasetVersion) -> None:
        self.session, self.key = request.session, f"edits:{version.pk}"
        self.changes: dict[str, dict[str, Any]] = dict(self.session.get(self.key, {}))

    def put(self, number: int, change: dict[str, Any] | None) -> None:
        """Keeps a change, or forgets it. Raises BadEdit when there are too many to wait."""
        changes = {key: value for key, value in self.changes.items() if key != str(number)}
        if change:
            changes[str(number)] = change
        if len(changes) > DRAFT_CHANGES or len(msgspec.json.encode(changes)) > DRAFT_BYTES:
            raise BadEdit(
                _("That is as much as can wait. Save the changes as a new version first, then go on.")
            )
        self.changes = changes
        self.session[self.key] = changes

    def clear(self) -> None:
        self.changes = {}
        self.session.pop(self.key, None)

    @property
    def recipe(self) -> dict[str, Any]:
        changes = [{"row": int(key), **change} for key, change in sorted(self.changes.items(), key=by_number)]
        return {"make": "edit", "settings": {"changes": changes}}


def by_number(item: tuple[str, Any]) -> int:
    return int(item[0])


@login_required
@require_http_methods(["GET", "POST"])
def version_edit(request: HttpRequest, dataset_id, number: int) -> HttpResponse:
    """One row with all its texts, and the changes that wait. `?row=` counts from 1, as people do."""
    version = version_or_404(request, dataset_id, number)
    try:
        fingerprints = comparing.fingerprints_of(version)
    except comparing.NotComparable:
        messages.error(request, _("The rows of this version are not kept here, so they cannot be edited."))
        return to_version(version)
    text = request.GET.get("row", "")
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
    place = max(0, min(wanted, version.row_count) - 1)
    row = next(fingerprints.rows_at([place]))
    draft = Draft(request, version)
    if request.method == "POST":
        return take(request, version, draft, place, row)
    return show(request, version, draft, place, row)


def show(
    request: HttpRequest,
    version: DatasetVersion,
    draft: Draft,
    place: int,
    row: dict[str, Any],
    fields: RowFields | None = None,
    refused: str = "",
    is_old: bool = False,
) -> HttpResponse:
    """The page; `fields` is what was typed, else what waits for this row, else the row itself."""
    change = draft.changes.get(str(place), {})
    if fields is None:
        edited = {**row, **change.get("content", {})}
        fields = row_forms.fields_of({**edited, "split": change.get("split") or row["split"]})
    address = reverse("api-version-derive", args=[version.dataset_id, version.number])
    recipe = {"make": "edit", "settings": {"changes": [{"row": place, "delete": True}]}}
    newest = version.dataset.latest
    context = {
        "dataset": version.dataset,
        "version": version,
        "row": row,
        "fields": fields,
        "roles": ROLES,
        "number": place + 1,
        "total": version.row_count,
        "previous": place if place > 0 else None,
        "next": place + 2 if place + 1 < version.row_count else None,
        "is_deleted": change.get("delete", False),
        "is_waiting": bool(change),
        "waiting": [
            {"number": int(key) + 1, "is_deleted": each.get("delete", False)}
            for key, each in sorted(draft.changes.items(), key=by_number)
        ],
        "newest": newest if newest and newest.pk != version.pk else None,
        "refused": refused,
        "is_old": is_old,
        "api_curl": curl(request, address, send=recipe),
    }
    return render(request, "datasets_app/version_edit.html", context, status=422 if refused else 200)


def take(
    request: HttpRequest, version: DatasetVersion, draft: Draft, place: int, row: dict[str, Any]
) -> HttpResponse:
    """Does what the pressed button says; whatever is refused comes back as it was typed."""
    post = request.POST
    fields = row_forms.fields_sent(post, row)
    if "add" in post:
        return show(request, version, draft, place, row, row_forms.with_turn(fields, post["add"]))
    if "remove" in post:
        return show(request, version, draft, place, row, row_forms.without_turn(fields, post["remove"]))
    if "discard" in post:
        draft.clear()
        messages.info(request, _("The changes are thrown away; the rows are as they were."))
        return to_row(version, place + 1)
    try:
        if "undo" in post:
            draft.put(place, None)
            return to_row(version, place + 1)
        if "delete" in post:
            draft.put(place, {"delete": True})
        elif not draft.changes.get(str(place), {}).get("delete"):
            draft.put(place, change_of(fields, row))
        if "save" in post:
            return save(request, version, draft)
    except services.NotNewest as problem:
        return show(request, version, draft, place, row, fields, str(problem), is_old=True)
    except (BadEdit, BadRecipe, services.CannotDerive) as problem:
        return show(request, version, draft, place, row, fields, str(problem))
    return to_row(version, min(place + 2, version.row_count))


def change_of(fields: RowFields, row: dict[str, Any]) -> dict[str, Any] | None:
    """What is other than in the row; None if nothing is. Raises BadEdit."""
    content = check_edit(row_forms.content_sent(fields), row)
    change: dict[str, Any] = {} if content is None else {"content": content}
    if fields.split in ("train", "held_out") and fields.split != row["split"]:
        change["split"] = fields.split
    return change or None


def save(request: HttpRequest, version: DatasetVersion, draft: Draft) -> HttpResponse:
    """All that waits becomes one version. Raises NotNewest, BadRecipe, CannotDerive."""
    count = len(draft.changes)
    made = services.start_derivation(version=version, recipe=draft.recipe, branch="branch" in request.POST)
    draft.clear()
    words = ngettext("%(count)s change is saved.", "%(count)s changes are saved.", count)
    messages.success(request, words % {"count": count})
    return arrive(request, made)


def to_row(version: DatasetVersion, number: int) -> HttpResponse:
    address = reverse("datasets:version-edit", args=[version.dataset_id, version.number])
    return redirect(f"{address}?row={number}")
