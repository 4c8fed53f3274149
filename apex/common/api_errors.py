"""One shape for every error of the API."""

from django.core.exceptions import PermissionDenied
from django.http import Http404, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.views import exception_handler as drf_exception_handler

from apex.common.refusals import ApiError


class Unacceptable(exceptions.APIException):
    """Bad input that a service refused: 400, with what was found and what to do."""

    status_code = 400
    default_code = "invalid"

    def __init__(self, message, *, code="invalid", field=None, details=None):
        super().__init__(message, code)
        self.field, self.more = field, details


class Conflict(Unacceptable):
    """It does not go with what is there now: 409."""

    status_code = 409
    default_code = "conflict"

    def __init__(self, message, *, code="conflict", **more):
        super().__init__(message, code=code, **more)


class NotEnoughLeft(Unacceptable):
    """A budget has less left than this could cost: 402."""

    status_code = 402
    default_code = "budget_spent"

    def __init__(self, message):
        super().__init__(message, code="budget_spent")


class Refused(Unacceptable):
    """A refusal in OpenAI's words, said in ours."""

    def __init__(self, refusal: ApiError):
        super().__init__(refusal.message, code=refusal.code or "refused", field=refusal.param)
        self.status_code = refusal.status
        self.wait = getattr(refusal, "retry_after", None)  # seconds; DRF makes a header of it


def exception_handler(problem, context):
    """`{"error": {"code", "message", "field", "details"}}`; `details` holds every fault of a bad form."""
    if isinstance(problem, Http404):
        problem = exceptions.NotFound("There is no such thing, or it is not yours.")
    elif isinstance(problem, PermissionDenied):
        problem = exceptions.PermissionDenied()
    elif isinstance(problem, ApiError):
        is_spent = problem.code == "insufficient_quota"
        problem = NotEnoughLeft(problem.message) if is_spent else Refused(problem)
    response = drf_exception_handler(problem, context)
    if response is None:
        return None
    response.data = {"error": describe(problem)}
    return response


def server_error(request):
    """Django's `handler500`, after it logged the fault: the one shape below `/api/`, the page elsewhere."""
    if not request.path.startswith("/api/"):
        return defaults.server_error(request)
    message = "The server had an error. Its log (web.log) says why."
    error = {"code": "server_error", "message": message, "field": None, "details": None}
    return JsonResponse({"error": error}, status=500)


def describe(problem: exceptions.APIException) -> dict:
    if isinstance(problem, exceptions.ValidationError):
        faults = problem.detail if isinstance(problem.detail, dict) else {"non_field_errors": problem.detail}
        field, messages = next(iter(faults.items()))
        return {
            "code": "invalid",
            "message": first_message(messages),
            "field": None if field == "non_field_errors" else field,
            "details": faults,
        }
    return {
        "code": problem.get_codes() if isinstance(problem.get_codes(), str) else problem.default_code,
        "message": str(problem.detail),
        "field": getattr(problem, "field", None),
        "details": getattr(problem, "more", None),
    }


def first_message(messages) -> str:
    while isinstance(messages, (list, tuple, dict)) and messages:
        messages = next(iter(messages.values())) if isinstance(messages, dict) else messages[0]
    return str(messages)
