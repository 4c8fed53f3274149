from django.urls import path
from rest_framework.routers import SimpleRouter

from datasets_app.api.connections import ConnectionViewSet
from datasets_app.api.curation import OfferedRowsViewSet, ReviewQueueViewSet, ReviewViewSet
from datasets_app.api.gold_stars import GoldStarViewSet
from datasets_app.api.imports import ImportViewSet
from datasets_app.api.profile import ProfileView, RenderedRowView
from datasets_app.api.sharing import AgreementViewSet, LabelStudioViewSet, ShareLinkViewSet
from datasets_app.api.uploads import UploadsView, UploadView
from datasets_app.api.versions import (
    CompareView,
    DerivePreviewView,
    DeriveView,
    ErasureView,
    LineageView,
    VersionView,
)
from datasets_app.api.views import DatasetViewSet

router = SimpleRouter()
router.register("datasets", DatasetViewSet, basename="api-dataset")
router.register("connections", ConnectionViewSet, basename="api-connection")
router.register("imports", ImportViewSet, basename="api-import")
urlpatterns = [
    path("uploads/", UploadsView.as_view(), name="api-upload-list"),
    path("uploads/<uuid:pk>/", UploadView.as_view(), name="api-upload-detail"),
    path("datasets/<uuid:dataset_id>/profile/", ProfileView.as_view(), name="api-dataset-profile"),
    path("datasets/<uuid:dataset_id>/lineage/", LineageView.as_view(), name="api-dataset-lineage"),
    path("datasets/<uuid:dataset_id>/erasure/", ErasureView.as_view(), name="api-dataset-erasure"),
    path(
        "datasets/<uuid:dataset_id>/versions/<int:number>/",
        VersionView.as_view(),
        name="api-version-detail",
    ),
    path(
        "datasets/<uuid:dataset_id>/versions/<int:number>/derive/",
        DeriveView.as_view(),
        name="api-version-derive",
    ),
    path(
        "datasets/<uuid:dataset_id>/versions/<int:number>/derive/preview/",
        DerivePreviewView.as_view(),
        name="api-version-derive-preview",
    ),
    path(
        "datasets/<uuid:dataset_id>/versions/<int:number>/compare/",
        CompareView.as_view(),
        name="api-version-compare",
    ),
    path(
        "datasets/<uuid:dataset_id>/rows/<int:index>/rendered/",
        RenderedRowView.as_view(),
        name="api-dataset-row-rendered",
    ),
    path(
        "datasets/<uuid:dataset_id>/reviews/",
        ReviewViewSet.as_view({"get": "list", "put": "put"}),
        name="api-review-list",
    ),
    path(
        "datasets/<uuid:dataset_id>/reviews/table/",
        ReviewViewSet.as_view({"get": "table"}),
        name="api-review-table",
    ),
    path(
        "datasets/<uuid:dataset_id>/review-queue/",
        ReviewQueueViewSet.as_view({"get": "list"}),
        name="api-review-queue",
    ),
    path(
        "datasets/<uuid:dataset_id>/review-version/",
        ReviewQueueViewSet.as_view({"post": "make_version"}),
        name="api-review-version",
    ),
    path(
        "datasets/<uuid:dataset_id>/share-links/",
        ShareLinkViewSet.as_view({"get": "list", "post": "create"}),
        name="api-share-link-list",
    ),
    path(
        "datasets/<uuid:dataset_id>/share-links/<uuid:link_id>/",
        ShareLinkViewSet.as_view({"delete": "destroy"}),
        name="api-share-link-detail",
    ),
    path(
        "datasets/<uuid:dataset_id>/agreement/",
        AgreementViewSet.as_view({"get": "list"}),
        name="api-agreement",
    ),
    path(
        "datasets/<uuid:dataset_id>/label-studio/",
        LabelStudioViewSet.as_view({"get": "list", "post": "take"}),
        name="api-label-studio",
    ),
    path(
        "offered-rows/",
        OfferedRowsViewSet.as_view({"get": "list", "post": "create", "put": "put"}),
        name="api-offered-rows",
    ),
    path("gold-stars/", GoldStarViewSet.as_view({"get": "list"}), name="api-gold-star-list"),
    path("gold-stars/export/", GoldStarViewSet.as_view({"get": "export"}), name="api-gold-star-export"),
    path(
        "gold-stars/dataset/", GoldStarViewSet.as_view({"post": "make_dataset"}), name="api-gold-star-dataset"
    ),
    path(
        "gold-stars/<uuid:pk>/", GoldStarViewSet.as_view({"delete": "destroy"}), name="api-gold-star-detail"
    ),
    *router.urls,
]
