"""The one way from a user and an id to a row. A stranger's row and a row that is not there look the same."""

from django.core.exceptions import ValidationError
from django.http import Http404


def owned_or_404(queryset, user, **lookup):
    """The one row of `queryset` that `user` owns and `lookup` names; `Http404` otherwise.

    `queryset` may be a model class or a queryset of an `OwnedModel`.
    """
    rows = queryset.objects.all() if isinstance(queryset, type) else queryset
    try:
        return rows.for_user(user).get(**lookup)
    except (rows.model.DoesNotExist, ValidationError, ValueError) as problem:
        raise Http404(f"No {rows.model._meta.verbose_name} with this id.") from problem
