"""Headers that every page carries, and who acts."""

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.utils.decorators import sync_and_async_middleware

from apex.common.acting import Acting, acting_as


class ContentSecurityPolicy:
    """Adds the policy to each answer: scripts and sockets of this site only. Works in sync and async chains."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        if iscoroutinefunction(self):
            return self.answer(request)
        return self.mark(request, self.get_response(request))

    async def answer(self, request):
        return self.mark(request, await self.get_response(request))

    def mark(self, request, response):
        # The admin's own theme evaluates its attributes, so it gets a looser policy.
        policy = settings.CONTENT_SECURITY_POLICY
        if request.path.startswith("/admin/"):
            policy += "; script-src 'self' 'unsafe-inline' 'unsafe-eval'"
        response.setdefault("Content-Security-Policy", policy)
        return response


@sync_and_async_middleware
def note_who_acts(get_response):
    """While a request lasts, `apex.common.acting` tells by whom and from where it is made."""
    if iscoroutinefunction(get_response):

        async def middleware(request):
            with acting_as(acting_in(request)):
                return await get_response(request)
    else:

        def middleware(request):
            with acting_as(acting_in(request)):
                return get_response(request)

    return middleware


def acting_in(request) -> Acting:
    first = request.path.split("/")[1]
    via = {"api": "api", "v1": "api", "admin": "admin"}.get(first, "page")
    return Acting(via=via, address=request.META.get("REMOTE_ADDR") or "", user=request.user)
