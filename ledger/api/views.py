from django.http import Http404, StreamingHttpResponse
from drf_spectacular.helpers import forced_singular_serializer
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from accounts.models import ApiToken, User
from apex.common.api import UUID_PATTERN
from apex.common.api_errors import Unacceptable
from ledger import selectors, services, tables
from ledger.api.serializers import (
    BudgetSerializer,
    CsvWishSerializer,
    HouseBudgetSerializer,
    LineSerializer,
    SetBudgetSerializer,
    UsageSerializer,
    UsageWishSerializer,
    WishSerializer,
)
from ledger.models import Budget, Scope, UsageLine


class UsageViewSet(viewsets.GenericViewSet):
    """What the caller has used, and what it cost; superusers may ask for everybody's."""

    serializer_class = LineSerializer
    queryset = UsageLine.objects.none()
    filter_backends = []

    def wish(self, kind=WishSerializer):
        form = kind(data=self.request.query_params)
        form.is_valid(raise_exception=True)
        return form

    @extend_schema(parameters=[UsageWishSerializer], responses=forced_singular_serializer(UsageSerializer))
    def list(self, request):
        """Sums by day, model, provider, kind, activity, minion, token, outcome or error, and over all."""
        form = self.wish(UsageWishSerializer)
        by = form.validated_data.pop("group_by")
        wish = form.wish()
        refuse_others(request, by, wish)
        sums = selectors.sums_for(request.user, wish)
        found = {
            "since": wish.since,
            "until": wish.until,
            "total": selectors.total(sums),
            "errors": selectors.errors_in(sums),
            "groups": selectors.grouped(sums, by),
        }
        return Response(UsageSerializer(found).data)

    @extend_schema(parameters=[WishSerializer], responses=LineSerializer(many=True))
    @action(detail=False)
    def lines(self, request):
        """Each line with its price and where that is from, newest first."""
        lines = selectors.lines_for(request.user, self.wish().wish()).order_by("-at", "-pk")
        page = self.paginate_queryset(lines)
        return self.get_paginated_response(LineSerializer(page, many=True).data)

    @extend_schema(
        parameters=[CsvWishSerializer], responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)}
    )
    @action(detail=False)
    def csv(self, request):
        """The same as a table for spreadsheets: every line, or with `group_by` the sums."""
        form = self.wish(CsvWishSerializer)
        by = form.validated_data.pop("group_by")
        wish = form.wish()
        refuse_others(request, by, wish)
        return csv_response(request.user, wish, by)


def refuse_others(request, by, wish) -> None:
    if "owner" in by and not (wish.is_everybodys and request.user.is_superuser):
        raise Unacceptable("Only superusers see others, and with everybody=true.", field="group_by")


def csv_response(user, wish, by) -> StreamingHttpResponse:
    """Every line, or the sums by what is named."""
    name = "-".join(["usage", *by])
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    if by:
        table = tables.csv_of_sums(selectors.sums_for(user, wish), by)
    else:
        table = tables.csv_of(selectors.lines_for(user, wish))
    return StreamingHttpResponse(table, content_type="text/csv; charset=utf-8", headers=headers)


class BudgetViewSet(viewsets.GenericViewSet):
    """How much the caller may use, and what is left of it."""

    serializer_class = BudgetSerializer
    queryset = Budget.objects.none()
    filter_backends = []
    lookup_value_regex = UUID_PATTERN

    @extend_schema(responses=BudgetSerializer(many=True))
    def list(self, request):
        """The budgets that bind the caller: the house's, and limits of one's own."""
        page = self.paginate_queryset(selectors.standings(request.user))
        return self.get_paginated_response(BudgetSerializer(page, many=True).data)

    @extend_schema(responses=HouseBudgetSerializer(many=True))
    @action(detail=False)
    def all(self, request):
        """All budgets of the house as they were set; superusers only."""
        if not request.user.is_superuser:
            raise Http404
        rows = Budget.objects.select_related("owner").order_by("owner__username", "scope", "measure")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(HouseBudgetSerializer(page, many=True).data)

    @extend_schema(request=SetBudgetSerializer, responses={201: HouseBudgetSerializer})
    def create(self, request):
        """Sets the one budget of this kind. With a token, a limit that stands can only be made lower."""
        form = SetBudgetSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked = dict(form.validated_data)
        whose, token, minion = asked.pop("owner"), asked.pop("token"), asked.pop("minion")
        if token and minion:
            raise Unacceptable("A budget is of a token or of a minion.", field="minion")
        asked["scope"] = Scope.TOKEN if token else Scope.MINION if minion else Scope.USER
        owner = owner_of(request, whose)
        if token and not ApiToken.objects.filter(public_id=token, user=owner).exists():
            raise Unacceptable("There is no such token.", field="token")
        asked |= {"owner": owner, "is_own": not whose, "token_id": token, "minion_id": minion}
        refuse_more(request, asked)
        try:
            budget = services.set_budget(**asked)
        except services.BudgetRefused as problem:
            raise Unacceptable(str(problem), field=problem.field) from problem
        return Response(HouseBudgetSerializer(budget).data, status=201)

    @extend_schema(responses={204: None})
    def destroy(self, request, pk=None):
        """Removes a limit of one's own; superusers remove any. Not with a token: a limit would bind nothing."""
        rows = Budget.objects.all()
        if not request.user.is_superuser:
            rows = Budget.objects.for_user(request.user).filter(is_own=True)
        budget = rows.filter(pk=pk).first()
        if budget is None:
            raise Http404
        if isinstance(request.auth, ApiToken):
            raise exceptions.PermissionDenied("A token removes no budget; sign in.")
        services.remove_budget(budget=budget)
        return Response(status=204)


def owner_of(request, whose: str) -> User | None:
    """Of whom a budget shall be; None: of everybody."""
    if not whose:
        return request.user
    if not request.user.is_superuser:
        raise exceptions.PermissionDenied("Only superusers set budgets of the house.")
    if whose == "*":
        return None
    owner = User.objects.filter(username=whose).first()
    if owner is None:
        raise Unacceptable(f"There is nobody called {whose}.", field="owner")
    return owner


def refuse_more(request, asked: dict) -> None:
    """A token that a budget binds does not raise it."""
    if not isinstance(request.auth, ApiToken):
        return
    there = Budget.objects.filter(
        **{
            name: asked[name]
            for name in ("owner", "scope", "token_id", "minion_id", "measure", "period", "is_own")
        }
    ).first()
    limit = services.limit_of(asked["measure"], asked["limit"])
    if there and there.limit is not None and (limit is None or limit > there.limit):
        raise exceptions.PermissionDenied("A token only lowers a budget; sign in to raise it.")
