"""`/api/v1/minions/`."""

from asgiref.sync import async_to_sync
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from accounts.models import ApiToken, Scope
from apex.common.access import owned_or_404
from apex.common.api_errors import Unacceptable
from apex.common.refusals import ApiError
from minions import answering, improving, selectors, services
from minions.answering import Asked
from minions.api.auth import AUTHENTICATION, MayUseMinion
from minions.api.refusals import Refused, refused_words
from minions.api.serializers import (
    AnsweredSerializer,
    ChatSerializer,
    FiguresSerializer,
    ImprovedSerializer,
    ImproveSerializer,
    MadeMinionTokenSerializer,
    MinionSerializer,
    MinionVersionSerializer,
    TraceSerializer,
)
from minions.conversations import ask
from minions.flow import Question
from minions.models import AnswerTrace, Conversation, Minion, MinionToken, Source
from minions.streaming import answer_events
from serving.answering import answer_response
from serving.protocol.messages import read_messages


class MinionViewSet(viewsets.ModelViewSet):
    """The caller's minions. A minion's own token may read its minion and ask it, and nothing else."""

    serializer_class = MinionSerializer
    queryset = Minion.objects.none()
    authentication_classes = AUTHENTICATION
    permission_classes = [IsAuthenticated, MayUseMinion]
    filterset_fields = ["name", "mode"]
    ordering_fields = ["name", "created_at", "changed_at"]
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_queryset(self):
        rows = Minion.objects.for_user(self.request.user).select_related(
            "owner", "adapter__base_model", "token"
        )
        if isinstance(self.request.auth, MinionToken):
            rows = rows.filter(pk=self.request.auth.minion_id)
        return rows.prefetch_related("knowledge_bases")

    def get_object(self):
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    def get_askable(self) -> Minion:
        """As `get_object`; PermissionDenied for a token that is for other models."""
        minion, token = self.get_object(), self.request.auth
        if isinstance(token, ApiToken) and not token.may_ask(minion.name, str(minion.pk)):
            raise exceptions.PermissionDenied(f"This token may not ask {minion.name}.")
        return minion

    def refuse_token_for_some_models(self) -> None:
        """Whoever shapes a minion decides which models are asked, under any name."""
        token = self.request.auth
        if isinstance(token, ApiToken) and token.model_names:
            raise exceptions.PermissionDenied("This token is for some models only; it shapes no minions.")

    def perform_create(self, serializer):
        self.refuse_token_for_some_models()
        with refused_words(services.MinionRefused):
            serializer.instance = services.create_minion(owner=self.request.user, **serializer.validated_data)

    def perform_update(self, serializer):
        self.refuse_token_for_some_models()
        with refused_words(services.MinionRefused):
            services.change_minion(minion=serializer.instance, **serializer.validated_data)

    def perform_destroy(self, minion):
        services.delete_minion(minion=minion)

    @extend_schema(request=None, responses={201: MadeMinionTokenSerializer})
    @action(detail=True, methods=["post"])
    def token(self, request, pk=None):
        """Makes a new token for this minion and ends the one before at once. It is shown in this one answer."""
        minion = self.get_askable()
        parent = request.auth
        if isinstance(parent, ApiToken) and (
            parent.expiry or parent.requests_per_minute or not parent.has_scope(Scope.CHAT)
        ):
            raise exceptions.PermissionDenied(
                "A minion's token asks it, for as long as it is there and as often as the minion takes questions; "
                "this token may not ask, or not as often, or ends earlier."
            )
        _token, text = services.make_token(minion=minion)
        return Response({"token": text}, status=201)

    @extend_schema(responses={204: None})
    @token.mapping.delete
    def end_token(self, request, pk=None):
        """The token opens nothing from now on."""
        services.end_token(minion=self.get_object())
        return Response(status=204)

    @extend_schema(
        request=ChatSerializer,
        responses={200: AnsweredSerializer, (200, "text/event-stream"): OpenApiTypes.STR},
    )
    @action(detail=True, methods=["post"])
    def chat(self, request, pk=None):
        """Asks it: whole, or with `stream` as server-sent events. With `conversation` question and answer are kept."""
        minion = self.get_askable()
        form = ChatSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        asked, conversation = self.asked(minion, form.validated_data)
        if form.validated_data["stream"]:
            return answer_response(answer_events(asked))
        try:
            under_way = async_to_sync(answer_whole)(asked)
        except ApiError as problem:
            raise Refused(problem) from problem
        return Response(AnsweredSerializer(answered(under_way, asked, conversation)).data)

    def asked(self, minion: Minion, form: dict) -> tuple[Asked, Conversation | None]:
        token = self.request.auth
        token_id = getattr(token, "public_id", None) or getattr(token, "pk", None)
        settings = {name: form.get(name) for name in ("max_tokens", "temperature")}
        made = {
            "minion_id": minion.pk,
            "source": Source.API,
            "token_id": token_id,
            "is_stream": form["stream"],
        }
        if "conversation" not in form:
            messages = form.get("messages") or [{"role": "user", "content": form["message"]}]
            try:
                messages = read_messages(messages, with_tools=False)
            except ApiError as problem:
                raise Unacceptable(problem.message, field=problem.param) from problem
            return Asked(question=Question(messages=messages, **settings), **made), None
        rows = Conversation.objects.filter(minion=minion)
        conversation = owned_or_404(rows, self.request.user, pk=form["conversation"])
        with refused_words(ValueError):
            _question, answer = ask(conversation=conversation, text=form["message"])
        question = Question(messages=answering.turns_before(answer), **settings)
        return Asked(question=question, answer_id=answer.pk, **made), conversation

    @extend_schema(responses={200: FiguresSerializer})
    @action(detail=True)
    def stats(self, request, pk=None):
        """What it answered in 30 days: counts, tokens, cost, times, by model and by day; its experience; its outside
        models and how they are."""
        minion = self.get_object()
        more = {
            "experience": selectors.experience_of_minion(minion).told(),
            "chain": selectors.chain_of(minion),
        }
        figures = selectors.figures_of(minion) | more
        return Response(FiguresSerializer(figures).data)

    @extend_schema(responses={200: MinionVersionSerializer(many=True)})
    @action(detail=True, pagination_class=None, filter_backends=[])
    def versions(self, request, pk=None):
        """What has shaped its answers, newest first. Each answer names its version."""
        return Response(MinionVersionSerializer(self.get_object().versions.all()[:200], many=True).data)

    @extend_schema(responses={200: TraceSerializer(many=True)})
    @action(detail=True, filter_backends=[])
    def answers(self, request, pk=None):
        """How its answers came about, newest first."""
        rows = AnswerTrace.objects.filter(minion=self.get_object()).select_related("version")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(TraceSerializer(page, many=True).data)

    @extend_schema(request=ImproveSerializer, responses={201: ImprovedSerializer})
    @action(detail=True, methods=["post"])
    def improve(self, request, pk=None):
        """Makes a dataset version of what was thought of its answers, to train with."""
        minion = self.get_object()
        form = ImproveSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        with refused_words(improving.NothingToLearn, improving.DatasetRefused):
            version = improving.improve(minion=minion, kind=form.validated_data["kind"])
        told = {"dataset": version.dataset_id, "version": version.number, "rows": version.row_count}
        return Response(ImprovedSerializer(told).data, status=201)


async def answer_whole(asked: Asked):
    under_way = await answering.begin(asked)
    await under_way.whole()
    return under_way


def answered(under_way, asked: Asked, conversation) -> dict:
    trace = under_way.trace
    return {
        "text": under_way.text, "status": under_way.status, "model": trace.model, "provider": trace.provider,
        "why": trace.why, "citations": trace.citations, "message": asked.answer_id,
        "conversation": conversation.pk if conversation else None, "trace": under_way.row,
    }  # fmt: skip
