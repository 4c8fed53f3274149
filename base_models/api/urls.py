from rest_framework.routers import SimpleRouter

from base_models.api.views import BaseModelViewSet

router = SimpleRouter()
router.register("base-models", BaseModelViewSet, basename="api-base-model")
urlpatterns = router.urls
