"""`/v1/files`."""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponseBase, JsonResponse

from accounts.models import Scope
from apex.common.downloads import stored_file_response
from datasets_app import services as datasets
from gateway import asking, filing
from gateway.endpoints import endpoint
from gateway.models import ApiFile, FilePurpose
from serving.protocol import ApiError

PREFIX = "file-"
MOST = 10_000
EXPIRES = re.compile(r"expires_after\[(anchor|seconds)\]")


@endpoint(method="GET", scope=Scope.READ)
@asking.in_thread
def list_files(request: HttpRequest, user) -> HttpResponseBase:
    order = request.GET.get("order", "desc")
    if order not in ("asc", "desc"):
        raise ApiError(
            f"`order` must be 'asc' or 'desc', got {asking.short(order)}.",
            param="order",
            code="invalid_value",
        )
    rows = ApiFile.objects.for_user(user).select_related("brought_by")
    if (purpose := request.GET.get("purpose")) is not None:
        rows = rows.filter(purpose=purpose) if purpose in FilePurpose.values else rows.none()
    found, has_more = asking.page_of(rows, request, prefix=PREFIX, usual=MOST, most=MOST, order=order)
    return asking.list_response([told(filing.settle(file)) for file in found], has_more)


@endpoint(method="POST", scope=Scope.WRITE)
@asking.in_thread
def create_file(request: HttpRequest, user) -> HttpResponseBase:
    fields, uploads = asking.form_of(request)
    expires = {found[1]: value for name, value in fields.items() if (found := EXPIRES.fullmatch(name))}
    for name in [*fields, *uploads]:
        if name not in ("purpose", "file") and not EXPIRES.fullmatch(name):
            raise ApiError(
                f"Unrecognized request argument supplied: {asking.short(name)}", param=name[:100],
                code="unknown_parameter",
            )  # fmt: skip
    upload, purpose = uploads.get("file"), fields.get("purpose")
    if upload is None:
        raise ApiError("'file' is a required property", param="file", code="missing_required_parameter")
    if purpose not in filing.SENT:
        known = ", ".join(filing.SENT)
        raise ApiError(
            f"`purpose` is {asking.short(purpose)}; it must be one of {known}.", param="purpose",
            code="invalid_value",
        )  # fmt: skip
    if not upload.size:
        raise ApiError("The file is empty.", param="file", code="empty_file")
    seconds = asking.expiry_in(expires or None)
    try:
        file = filing.keep_upload(owner=user, upload=upload, purpose=purpose, expires_seconds=seconds)
    except datasets.TooLarge as problem:
        raise ApiError(str(problem), status=413, param="file", code="too_large") from problem
    except datasets.TooMuchWaiting as problem:
        raise ApiError(str(problem), status=429, kind="requests", code="rate_limit_exceeded") from problem
    return JsonResponse(told(file))


@endpoint(method="GET", scope=Scope.READ)
@asking.in_thread
def get_file(request: HttpRequest, user, file_id: str) -> HttpResponseBase:
    return JsonResponse(told(filing.settle(find_file(user, file_id))))


@endpoint(method="DELETE", scope=Scope.WRITE)
@asking.in_thread
def delete_file(request: HttpRequest, user, file_id: str) -> HttpResponseBase:
    file = find_file(user, file_id)
    try:
        filing.delete_file(file=file)
    except datasets.DatasetInUse as problem:
        raise ApiError(str(problem), status=409, param="file_id", code="file_in_use") from problem
    return JsonResponse({"id": file.public_id, "object": "file", "deleted": True})


@endpoint(method="GET", scope=Scope.READ)
@asking.in_thread
def get_content(request: HttpRequest, user, file_id: str) -> HttpResponseBase:
    file = find_file(user, file_id)
    name = re.sub(r"[^A-Za-z0-9._ -]", "_", file.file_name)
    return stored_file_response(file.sha256, name, "application/octet-stream")


files = asking.by_method(GET=list_files, POST=create_file)
file = asking.by_method(GET=get_file, DELETE=delete_file)


def find_file(user, file_id: str) -> ApiFile:
    """The user's file of this id; the same 404 for a stranger's, a missing one, one that expired and what is no id."""
    found = ApiFile.objects.for_user(user).select_related("brought_by", "owner")
    row = found.filter(pk=asking.id_of(file_id, PREFIX)).first()
    if row is None:
        raise ApiError(f"No such File object: {file_id[:100]}", status=404, param="id")
    return row


def told(file: ApiFile) -> dict:
    """OpenAI's file object. What has no value is left out, as there."""
    body = {
        "id": file.public_id,
        "object": "file",
        "bytes": file.size,
        "created_at": asking.seconds(file.created_at),
        "filename": file.file_name,
        "purpose": file.purpose,
        "status": "error" if file.problem else "uploaded" if file.is_being_read else "processed",
    }
    if file.expires_at:
        body["expires_at"] = asking.seconds(file.expires_at)
    if file.problem:
        body["status_details"] = file.problem
    return body
