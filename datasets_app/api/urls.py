from rest_framework.routers import SimpleRouter

from datasets_app.api.views import DatasetViewSet

router = SimpleRouter()
router.register("datasets", DatasetViewSet, basename="api-dataset")
urlpatterns = router.urls
