"""`/api/v1/knowledge-bases/`: bases, their documents, searching them, making their index anew."""

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.response import Response

from apex.common.access import owned_or_404
from apex.common.api_errors import Unacceptable
from knowledge import selectors, services
from knowledge.api import serializers
from knowledge.models import Document, KnowledgeBase
from knowledge.retrieval import RetrievalFailed, quoted, search


class KnowledgeBaseViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    """What an assistant may look up."""

    serializer_class = serializers.KnowledgeBaseSerializer
    queryset = KnowledgeBase.objects.none()
    ordering_fields = ["created_at", "name"]

    def get_queryset(self):
        return selectors.bases_for_list(self.request.user)

    def get_object(self) -> KnowledgeBase:
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["pk"])

    @extend_schema(responses=serializers.KnowledgeBaseSerializer)
    def retrieve(self, request, pk=None):
        """One base, with the index that is searched and the one that is being made."""
        return self.described(self.get_object())

    @extend_schema(
        request=serializers.KnowledgeBaseCreateSerializer,
        responses={201: serializers.KnowledgeBaseSerializer},
    )
    def create(self, request):
        """A new base, empty, with the index that its documents will be in."""
        wanted = self.asked(serializers.KnowledgeBaseCreateSerializer)
        base = keep(services.create_base, owner=request.user, **wanted)
        return self.described(base, status.HTTP_201_CREATED)

    @extend_schema(
        request=serializers.KnowledgeBaseChangeSerializer, responses=serializers.KnowledgeBaseSerializer
    )
    def partial_update(self, request, pk=None):
        """Another name, description or reranker."""
        wanted = self.asked(serializers.KnowledgeBaseChangeSerializer)
        return self.described(keep(services.change_base, base=self.get_object(), **wanted))

    @extend_schema(responses={204: None})
    def destroy(self, request, pk=None):
        """Deletes it with its documents, their files, pieces and vectors."""
        services.delete_base(base=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=serializers.SearchSerializer, responses=serializers.FoundSerializer)
    @action(detail=True, methods=["post"])
    def search(self, request, pk=None):
        """The passages that speak of a question, best first."""
        base, wanted = self.get_object(), self.asked(serializers.SearchSerializer)
        try:
            passages = search([base], wanted["question"], wanted["most"], way=wanted["way"])
        except RetrievalFailed as problem:
            raise Unacceptable(str(problem), code="cannot_be_searched") from problem
        return Response(
            {
                "passages": serializers.PassageSerializer(passages, many=True).data,
                "reranked": serializers.RerankedSerializer(passages.reranked, many=True).data,
                "quoted": quoted(passages),
            }
        )

    @extend_schema(
        request=serializers.IndexWishSerializer, responses={202: serializers.KnowledgeBaseSerializer}
    )
    @action(detail=True, methods=["post"])
    def reindex(self, request, pk=None):
        """Makes another index in the background; what is left out stays as it is. The old one answers meanwhile."""
        base = self.get_object()
        keep(services.reindex, base=base, **self.asked(serializers.IndexWishSerializer))
        return self.described(base, status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses={204: None})
    @reindex.mapping.delete
    def call_off_reindex(self, request, pk=None):
        """Stops making another index, or puts one away that could not be made."""
        services.call_off_index(base=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def described(self, base: KnowledgeBase, code: int = status.HTTP_200_OK) -> Response:
        fresh = self.get_queryset().get(pk=base.pk)
        return Response(serializers.KnowledgeBaseSerializer(fresh).data, status=code)

    def asked(self, serializer_class) -> dict:
        form = serializer_class(data=self.request.data)
        form.is_valid(raise_exception=True)
        return form.validated_data


class DocumentViewSet(viewsets.GenericViewSet):
    """Documents of one base."""

    serializer_class = serializers.DocumentSerializer
    queryset = Document.objects.none()
    ordering_fields = ["created_at", "name"]

    def base(self) -> KnowledgeBase:
        return owned_or_404(KnowledgeBase, self.request.user, pk=self.kwargs["base_id"])

    def get_queryset(self):
        return Document.objects.for_user(self.request.user).filter(knowledge_base=self.base())

    def get_object(self) -> Document:
        return owned_or_404(self.get_queryset(), self.request.user, pk=self.kwargs["document_id"])

    def list(self, request, base_id=None):
        """Documents with how far their reading is, and why it failed."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(serializers.DocumentSerializer(page, many=True).data)

    @extend_schema(
        request={
            "multipart/form-data": serializers.DocumentAddSerializer,
            "application/json": serializers.DocumentAddSerializer,
        },
        responses={202: serializers.DocumentSerializer},
    )
    def create(self, request, base_id=None):
        """Brings a document: a file as `multipart/form-data`, or a url. It is read in the background.

        Of the same name it is the next version, which takes the old one's place once it is ready.
        """
        base = self.base()
        form = serializers.DocumentAddSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        if "url" in form.validated_data:
            document = keep(services.add_url, base=base, url=form.validated_data["url"])
        else:
            document = keep(services.add_upload, base=base, upload=form.validated_data["file"])
        return Response(serializers.DocumentSerializer(document).data, status=status.HTTP_202_ACCEPTED)

    def retrieve(self, request, base_id=None, document_id=None):
        """One document."""
        return Response(serializers.DocumentSerializer(self.get_object()).data)

    @extend_schema(responses={204: None})
    def destroy(self, request, base_id=None, document_id=None):
        """Deletes it with its file, its text, its pieces and vectors."""
        services.delete_document(document=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses={202: serializers.DocumentSerializer})
    def again(self, request, base_id=None, document_id=None):
        """Reads one that failed once more; one with an address is fetched anew, also if it is ready."""
        document = keep(services.read_again, document=self.get_object())
        return Response(serializers.DocumentSerializer(document).data, status=status.HTTP_202_ACCEPTED)


def keep(service, **wanted):
    try:
        return service(**wanted)
    except services.KnowledgeRefused as problem:
        raise Unacceptable(str(problem), field=problem.field) from problem
