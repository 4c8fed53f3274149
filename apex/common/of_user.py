"""The same calls of the API below a person's path: `/api/v1/users/me/minions/` is `/api/v1/minions/`.

One's own id or `me` leads to one's own things; a superuser reaches anybody's; everybody else gets the same 404 for a
person who is there and one who is not. The calls are not in the schema a second time (docs/api.md says where they are).
"""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.http import Http404
from django.urls import URLPattern, path, re_path
from django.urls.resolvers import RegexPattern
from drf_spectacular.utils import extend_schema
from rest_framework.views import APIView


class OfUser(APIView):
    """Before a view of the API: from here on the request is that of the person in the path."""

    def dispatch(self, request, *args, user_id: str, **kwargs):
        self.of_user = user_id
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        # What a browser's session may do is checked by now, so that nobody acts for others by a forged form.
        request.user = person(request.user, self.of_user)


def person(asker, user_id: str):
    """Who is meant. Raises Http404 for a stranger."""
    if user_id in ("me", str(asker.pk)):
        return asker
    found = None
    if asker.is_superuser and user_id.isascii() and user_id.isdigit() and len(user_id) < 19:
        found = get_user_model().objects.filter(pk=int(user_id)).first()
    if found is None:
        raise Http404("No such person.")
    return found


def below_user(patterns: Iterable[URLPattern], prefixes: tuple[str, ...]) -> list[URLPattern]:
    """Those of `patterns` that begin with one of `prefixes`, below `users/<user_id>/` under names of their own."""
    found = []
    for pattern in patterns:
        if not isinstance(pattern, URLPattern):
            continue
        inner, name = pattern.pattern, f"of-user-{pattern.name}" if pattern.name else None
        written = str(inner).removeprefix("^")
        if not written.startswith(prefixes):
            continue
        view = of_user(pattern.callback)
        if isinstance(inner, RegexPattern):
            found.append(
                re_path(rf"^users/(?P<user_id>[^/.]+)/{written}", view, pattern.default_args, name=name)
            )
        else:
            found.append(path(f"users/<str:user_id>/{written}", view, pattern.default_args, name=name))
    return found


def of_user(view):
    """The view again, for the person in the path. A viewset keeps its actions and settings."""
    kind = type(f"{view.cls.__name__}OfUser", (OfUser, view.cls), {})
    extend_schema(exclude=True)(kind)
    if hasattr(view, "actions"):
        return kind.as_view(view.actions, **view.initkwargs)
    return kind.as_view(**view.initkwargs)
