from rest_framework.routers import SimpleRouter

from serving.api.exports import ExportViewSet
from serving.api.views import DeploymentViewSet, NodeViewSet

router = SimpleRouter()
router.register("deployments", DeploymentViewSet, basename="api-deployment")
router.register("nodes", NodeViewSet, basename="api-node")
router.register("exports", ExportViewSet, basename="api-export")
urlpatterns = router.urls
