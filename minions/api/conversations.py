"""`/api/v1/conversations/`: what was said to minions, branches and opinions."""

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api import FilterBackend
from minions import feedback, selectors
from minions.api.refusals import refused_words
from minions.api.serializers import (
    ConversationDetailSerializer,
    ConversationSerializer,
    FeedbackSerializer,
    OwnRelatedField,
    TraceSerializer,
)
from minions.conversations import begin_conversation, delete_conversation, rename_conversation
from minions.models import AnswerTrace, Conversation, FeedbackKind, Message, Minion


class NewConversationSerializer(ConversationSerializer):
    minion = OwnRelatedField(Minion)

    class Meta(ConversationSerializer.Meta):
        read_only_fields = ["id", "created_at", "changed_at"]


class ConversationViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet
):
    """The caller's conversations, the newest first."""

    serializer_class = ConversationSerializer
    queryset = Conversation.objects.none()
    filter_backends = [FilterBackend]
    filterset_fields = ["minion"]

    def get_queryset(self):
        return selectors.conversations_for(self.request.user)

    def get_object(self):
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    def get_serializer_class(self):
        return ConversationDetailSerializer if self.action == "retrieve" else ConversationSerializer

    @extend_schema(request=NewConversationSerializer, responses={201: ConversationSerializer})
    def create(self, request):
        """Begins one with a minion; ask in it by `POST /api/v1/minions/{id}/chat/`."""
        form = NewConversationSerializer(data=request.data, context=self.get_serializer_context())
        form.is_valid(raise_exception=True)
        conversation = begin_conversation(owner=request.user, minion=form.validated_data["minion"])
        if title := form.validated_data.get("title"):
            rename_conversation(conversation=conversation, title=title)
        return Response(ConversationSerializer(conversation).data, status=201)

    @extend_schema(request=ConversationSerializer, responses={200: ConversationSerializer})
    def partial_update(self, request, pk=None):
        """Gives it another title."""
        form = ConversationSerializer(data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        conversation = self.get_object()
        if "title" in form.validated_data:
            rename_conversation(conversation=conversation, title=form.validated_data["title"])
        return Response(ConversationSerializer(conversation).data)

    def perform_destroy(self, conversation):
        delete_conversation(conversation=conversation)


class MessageViewSet(viewsets.GenericViewSet):
    """Answers in the caller's conversations: what is thought of them, and how they came about."""

    serializer_class = FeedbackSerializer
    queryset = Message.objects.none()

    def get_object(self):
        rows = Message.objects.select_related("conversation__minion", "trace__version", "owner", "parent")
        return owned_or_404(rows, self.request.user, pk=self.kwargs["pk"])

    @extend_schema(request=FeedbackSerializer, responses={201: FeedbackSerializer, 204: None})
    @action(detail=True, methods=["post"])
    def feedback(self, request, pk=None):
        """Keeps an opinion on an answer. A thumb that is given a second time is taken back: 204."""
        answer = self.get_object()
        form = FeedbackSerializer(data=request.data, context=self.get_serializer_context())
        form.is_valid(raise_exception=True)
        said = form.validated_data
        with refused_words(feedback.BadFeedback):
            if said["kind"] == FeedbackKind.EDIT:
                made = feedback.edit(answer=answer, text=said.get("text", ""))
            elif said["kind"] == FeedbackKind.PICK:
                made = feedback.pick(answer=answer, over=said.get("over") or answer)
            else:
                made = feedback.rate(answer=answer, kind=said["kind"])
        return Response(FeedbackSerializer(made).data, status=201) if made else Response(status=204)

    @extend_schema(responses={200: TraceSerializer})
    @action(detail=True)
    def trace(self, request, pk=None):
        """How the answer came about, stage by stage."""
        rows = AnswerTrace.objects.select_related("version")
        return Response(TraceSerializer(owned_or_404(rows, request.user, message=self.get_object())).data)
