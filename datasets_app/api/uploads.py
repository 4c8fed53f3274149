"""`/api/v1/uploads/`: tus 1.0.0 (https://tus.io/protocols/resumable-upload), for programs and for the pages.

Core, creation, creation-with-upload, checksum, expiration and termination. A finished upload is an import:
`/api/v1/imports/{the same id}/` says what became of it.
"""

import base64
import binascii
from uuid import UUID

from django.http import HttpResponse, QueryDict
from django.urls import reverse
from django.utils.http import http_date, url_has_allowed_host_and_scheme
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser
from rest_framework.views import APIView

from apex.common.access import owned_or_404
from apex.common.api_errors import Unacceptable
from datasets_app import services
from datasets_app.api.mapping import BadMapping, read_mapping
from datasets_app.models import Dataset, DatasetImport, ImportSource, ImportStatus

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination,expiration"
BYTES = "application/offset+octet-stream"
# What a service refuses, as tus says it; 423 is what tusd answers, and clients try it again.
REFUSALS = {
    services.WrongOffset: (409, "wrong_offset"),
    services.UploadGone: (410, "gone"),
    services.TooLarge: (413, "too_large"),
    services.UploadBusy: (423, "busy"),
    services.TooManyUploads: (429, "too_many"),
    services.TooMuchWaiting: (429, "too_many"),
    services.ChecksumMismatch: (460, "checksum"),
    services.DiskFull: (507, "disk_full"),
}


class TusRefusal(Unacceptable):
    def __init__(self, status_code: int, message: str, **more):
        self.status_code = status_code
        super().__init__(message, **more)


class RawBytes(BaseParser):
    """The body is read by the service, a piece at a time, and never parsed: it has no fields."""

    media_type = "*/*"

    def parse(self, stream, media_type=None, parser_context=None):
        return QueryDict()


def tus_headers(**more: str) -> list[OpenApiParameter]:
    return [
        OpenApiParameter(name.replace("_", "-"), OpenApiTypes.STR, OpenApiParameter.HEADER, description=words)
        for name, words in {"Tus_Resumable": "1.0.0", **more}.items()
    ]


class TusView(APIView):
    """What both addresses share: the version, and its header in every answer."""

    parser_classes = [RawBytes]

    def check_version(self, request) -> None:
        if (found := request.headers.get("Tus-Resumable")) != VERSION:
            raise TusRefusal(
                412, f"Tus-Resumable is {found!r}; this server speaks {VERSION}.", code="tus_version"
            )

    def finalize_response(self, request, response, *args, **kwargs):
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Tus-Resumable"] = VERSION
        if response.status_code == 412:
            response["Tus-Version"] = VERSION
        return response

    @extend_schema(exclude=True)
    def options(self, request, **kwargs):
        return HttpResponse(
            status=204,
            headers={
                "Tus-Version": VERSION,
                "Tus-Extension": EXTENSIONS,
                "Tus-Max-Size": str(services.upload_limit(request.user)),
                "Tus-Checksum-Algorithm": ",".join(services.CHECKSUMS),
            },
        )

    def take_bytes(self, request, imported: DatasetImport, offset: int) -> None:
        declared = int(request.META.get("CONTENT_LENGTH") or 0)
        if offset + declared > imported.length:
            raise TusRefusal(
                413, f"{declared} bytes from {offset} are more than the {imported.length} announced.",
                code="too_large",
            )  # fmt: skip
        take(
            services.append_bytes,
            imported=imported,
            offset=offset,
            body=request,
            checksum=checksum_in(request),
        )


class UploadsView(TusView):
    @extend_schema(
        operation_id="uploads_create",
        request={BYTES: OpenApiTypes.BINARY},
        responses={201: None},
        parameters=tus_headers(
            Upload_Length="Size of the file in bytes.",
            Upload_Metadata="Pairs of a key and its value in Base64: filename, name (of the set), dataset (the "
            "set that gets a new version), mapping (the columns, as JSON).",
        ),
    )
    def post(self, request):
        """Begins a tus upload; `Location` is where its bytes go, by PATCH. It may bring the first bytes along."""
        self.check_version(request)
        if "Upload-Defer-Length" in request.headers:
            raise TusRefusal(400, "Upload-Defer-Length is not supported: say Upload-Length.", code="length")
        length = whole_number(request, "Upload-Length")
        told = metadata_in(request)
        imported = take(
            services.begin_upload,
            owner=request.user,
            length=length,
            file_name=told.get("filename", ""),
            name=told.get("name", ""),
            dataset=owned_or_404(Dataset, request.user, pk=told["dataset"]) if told.get("dataset") else None,
            mapping=mapping_in(told.get("mapping", "")),
            next_url=local_address(told.get("next", "")),
        )
        if request.content_type == BYTES and length:
            self.take_bytes(request, imported, 0)
        return HttpResponse(
            status=201,
            headers={
                "Location": reverse("api-upload-detail", kwargs={"pk": imported.pk}),
                **state_headers(imported),
            },
        )


class UploadView(TusView):
    def find(self, request, pk: UUID) -> DatasetImport:
        uploads = DatasetImport.objects.filter(source=ImportSource.UPLOAD)
        imported = owned_or_404(uploads, request.user, pk=pk)
        self.check_version(request)
        return imported

    @extend_schema(operation_id="uploads_offset", responses={200: None}, parameters=tus_headers())
    def head(self, request, pk):
        """`Upload-Offset`: how many bytes are here."""
        imported = self.find(request, pk)
        if imported.status == ImportStatus.CANCELLED:
            raise TusRefusal(410, "This upload was cancelled.", code="gone")
        return HttpResponse(
            headers={
                "Upload-Length": str(imported.length),
                "Cache-Control": "no-store",
                **state_headers(imported),
            }
        )

    @extend_schema(
        operation_id="uploads_append",
        request={BYTES: OpenApiTypes.BINARY},
        responses={204: None},
        parameters=tus_headers(
            Upload_Offset="Where these bytes begin: as many as are here.",
            Upload_Checksum="sha1, sha256 or md5, a space, and the digest in Base64.",
        ),
    )
    def patch(self, request, pk):
        """Bytes from `Upload-Offset` on. Those of a request that breaks off are kept."""
        imported = self.find(request, pk)
        if request.content_type != BYTES:
            raise UnsupportedMediaType(request.content_type)
        self.take_bytes(request, imported, whole_number(request, "Upload-Offset"))
        return HttpResponse(status=204, headers=state_headers(imported))

    @extend_schema(operation_id="uploads_cancel", responses={204: None}, parameters=tus_headers())
    def delete(self, request, pk):
        """Cancels it; its bytes are thrown away."""
        imported = self.find(request, pk)
        if imported.status != ImportStatus.CANCELLED and not services.cancel_import(imported=imported):
            raise TusRefusal(409, "It has been checked already; delete the dataset instead.", code="ended")
        return HttpResponse(status=204)

    @extend_schema(exclude=True)
    def post(self, request, pk):
        """For clients behind a proxy that knows neither PATCH nor DELETE: X-HTTP-Method-Override."""
        self.find(request, pk)
        wanted = {"PATCH": self.patch, "DELETE": self.delete}.get(
            request.headers.get("X-HTTP-Method-Override", "").upper()
        )
        if wanted is None:
            return self.http_method_not_allowed(request)
        return wanted(request, pk)


def take(service, **wanted):
    try:
        return service(**wanted)
    except tuple(REFUSALS) as problem:
        status_code, code = REFUSALS[type(problem)]
        raise TusRefusal(status_code, str(problem), code=code) from problem


def state_headers(imported: DatasetImport) -> dict[str, str]:
    headers = {"Upload-Offset": str(services.bytes_received(imported))}
    if imported.status == ImportStatus.RECEIVING and imported.expires_at:
        headers["Upload-Expires"] = http_date(imported.expires_at.timestamp())
    return headers


def whole_number(request, header: str) -> int:
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise TusRefusal(400, f"{header} is {text!r}; it must be a whole number of bytes.", code="invalid")
    return int(text)


def metadata_in(request) -> dict[str, str]:
    """Upload-Metadata: `key base64,key base64,…`; a key may stand alone."""
    found: dict[str, str] = {}
    for pair in filter(str.strip, request.headers.get("Upload-Metadata", "").split(",")):
        key, _space, value = pair.strip().partition(" ")
        try:
            text = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError) as problem:
            raise TusRefusal(
                400, f"Upload-Metadata: the value of {key!r} is not UTF-8 in Base64.", code="invalid"
            ) from problem
        if key in found:
            raise TusRefusal(400, f"Upload-Metadata names {key!r} twice.", code="invalid")
        found[key] = text.replace("\x00", "")
    return found


def mapping_in(text: str) -> dict[str, str]:
    try:
        return read_mapping(text) if text else {}
    except BadMapping as problem:
        raise TusRefusal(400, str(problem), code="invalid", field="mapping") from problem


def local_address(text: str) -> str:
    """A page of this site to go on to, or nothing."""
    is_ours = text.startswith("/") and url_has_allowed_host_and_scheme(text, allowed_hosts=None)
    return text[:300] if is_ours else ""


def checksum_in(request) -> tuple[str, bytes] | None:
    text = request.headers.get("Upload-Checksum", "")
    if not text:
        return None
    name, _space, value = text.partition(" ")
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if name not in services.CHECKSUMS or not digest:
        known = ", ".join(services.CHECKSUMS)
        raise TusRefusal(400, f"Upload-Checksum is {text!r}; send one of {known} in Base64.", code="checksum")
    return name, digest
