from rest_framework.routers import SimpleRouter

from providers.api.views import ProviderKeyViewSet, ProviderViewSet

router = SimpleRouter()
router.register("providers", ProviderViewSet, basename="api-provider")
router.register("provider-keys", ProviderKeyViewSet, basename="api-provider-key")
urlpatterns = router.urls
