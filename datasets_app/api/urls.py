from django.urls import path
from rest_framework.routers import SimpleRouter

from datasets_app.api.connections import ConnectionViewSet
from datasets_app.api.imports import ImportViewSet
from datasets_app.api.profile import RenderedRowView
from datasets_app.api.uploads import UploadsView, UploadView
from datasets_app.api.views import DatasetViewSet

router = SimpleRouter()
router.register("datasets", DatasetViewSet, basename="api-dataset")
router.register("connections", ConnectionViewSet, basename="api-connection")
router.register("imports", ImportViewSet, basename="api-import")
urlpatterns = [
    path("uploads/", UploadsView.as_view(), name="api-upload-list"),
    path("uploads/<uuid:pk>/", UploadView.as_view(), name="api-upload-detail"),
    path(
        "datasets/<uuid:dataset_id>/rows/<int:index>/rendered/",
        RenderedRowView.as_view(),
        name="api-dataset-row-rendered",
    ),
    *router.urls,
]
