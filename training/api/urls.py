from rest_framework.routers import SimpleRouter

from training.api.views import AdapterViewSet, JobViewSet

router = SimpleRouter()
router.register("training/jobs", JobViewSet, basename="api-job")
router.register("adapters", AdapterViewSet, basename="api-adapter")
urlpatterns = router.urls
