from rest_framework.routers import SimpleRouter

from audit.api.views import AuditViewSet

router = SimpleRouter()
router.register("audit", AuditViewSet, basename="api-audit")
urlpatterns = router.urls
