"""`/v1/batches`."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase, JsonResponse

from accounts.models import Scope
from gateway import asking, batching
from gateway.endpoints import endpoint
from gateway.hot.requests import KINDS
from gateway.models import ApiFile, Batch, FilePurpose
from serving.protocol import ApiError

PREFIX = "batch_"
USUAL, MOST = 20, 100
KNOWN = {"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after"}


@endpoint(method="GET", scope=Scope.READ)
@asking.in_thread
def list_batches(request: HttpRequest, user) -> HttpResponseBase:
    found, has_more = asking.page_of(batches_for(user), request, prefix=PREFIX, usual=USUAL, most=MOST)
    return asking.list_response([batching.told(batch) for batch in found], has_more)


@endpoint(method="POST", scope=Scope.CHAT)
@asking.in_thread
def create_batch(request: HttpRequest, user) -> HttpResponseBase:
    body = asking.json_object(request)
    asking.refuse_unknown(body, KNOWN)
    file_id = asking.text_in(body, "input_file_id", is_needed=True)
    address = asking.text_in(body, "endpoint", is_needed=True)
    if address not in KINDS:
        raise ApiError(
            f"`endpoint` is {asking.short(address)}; batches go to {', '.join(KINDS)}.", param="endpoint",
            code="invalid_value",
        )  # fmt: skip
    window = asking.text_in(body, "completion_window", is_needed=True)
    if window not in batching.WINDOWS:
        raise ApiError(
            f"`completion_window` is {asking.short(window)}; it must be '24h'.", param="completion_window",
            code="invalid_value",
        )  # fmt: skip
    metadata = asking.metadata_in(body)
    output_seconds = asking.expiry_in(body.get("output_expires_after"), "output_expires_after")
    batch = batching.create_batch(
        owner=user,
        input_file=find_input(user, file_id),
        endpoint=address,
        completion_window=window,
        metadata=metadata,
        token=request.api_token,
        output_seconds=output_seconds,
    )
    return JsonResponse(batching.told(batch))


@endpoint(method="GET", scope=Scope.READ)
@asking.in_thread
def get_batch(request: HttpRequest, user, batch_id: str) -> HttpResponseBase:
    return JsonResponse(batching.told(find_batch(user, batch_id)))


@endpoint(method="POST", scope=Scope.CHAT)
@asking.in_thread
def cancel_batch(request: HttpRequest, user, batch_id: str) -> HttpResponseBase:
    batch = find_batch(user, batch_id)
    if not batching.cancel_batch(batch=batch):
        status = find_batch(user, batch_id).status
        raise ApiError(
            f"Cannot cancel a batch with status '{status}'.", param="batch_id", code="invalid_batch_status"
        )
    return JsonResponse(batching.told(find_batch(user, batch_id)))


batches = asking.by_method(GET=list_batches, POST=create_batch)


def batches_for(user):
    return Batch.objects.for_user(user).select_related("output_file", "error_file")


def find_batch(user, batch_id: str) -> Batch:
    """The user's batch of this id; the same 404 for a stranger's, a missing one and what is no id."""
    batch = batches_for(user).filter(pk=asking.id_of(batch_id, PREFIX)).first()
    if batch is None:
        raise ApiError(f"No batch found with id '{batch_id[:100]}'.", status=404, param="batch_id")
    return batch


def find_input(user, file_id: str) -> ApiFile:
    file = ApiFile.objects.for_user(user).filter(pk=asking.id_of(file_id, "file-")).first()
    if file is None:
        raise ApiError(f"File not found: {file_id}", param="input_file_id", code="file_not_found")
    if file.purpose != FilePurpose.BATCH:
        raise ApiError(
            f"{file_id} has the purpose '{file.purpose}'; a batch needs one of 'batch'.", param="input_file_id",
            code="invalid_file_purpose",
        )  # fmt: skip
    return file
