"""What services and answers refuse, as errors of the API."""

from collections.abc import Iterator
from contextlib import contextmanager

from rest_framework import exceptions

from apex.common.api_errors import Unacceptable
from apex.common.refusals import ApiError


@contextmanager
def refused_words(*kinds: type[Exception]) -> Iterator[None]:
    """400 with the exception's words, and the field that it names."""
    try:
        yield
    except kinds as problem:
        raise Unacceptable(str(problem), field=getattr(problem, "field", None)) from problem


class Refused(exceptions.APIException):
    """There is no answer: the refusal's own status, code and words."""

    def __init__(self, problem: ApiError):
        super().__init__(problem.message, problem.code)
        # A budget that is spent is 402 here; 429 is what OpenAI's clients know.
        self.status_code = 402 if problem.code == "insufficient_quota" else problem.status
        self.wait = getattr(problem, "retry_after", None)
