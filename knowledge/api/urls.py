from django.urls import path
from rest_framework.routers import SimpleRouter

from knowledge.api.views import DocumentViewSet, KnowledgeBaseViewSet

router = SimpleRouter()
router.register("knowledge-bases", KnowledgeBaseViewSet, basename="api-knowledge-base")
urlpatterns = [
    path(
        "knowledge-bases/<uuid:base_id>/documents/",
        DocumentViewSet.as_view({"get": "list", "post": "create"}),
        name="api-document-list",
    ),
    path(
        "knowledge-bases/<uuid:base_id>/documents/<uuid:document_id>/",
        DocumentViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        name="api-document-detail",
    ),
    path(
        "knowledge-bases/<uuid:base_id>/documents/<uuid:document_id>/again/",
        DocumentViewSet.as_view({"post": "again"}),
        name="api-document-again",
    ),
    *router.urls,
]
