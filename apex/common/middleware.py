"""Headers that every page carries."""

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings


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
