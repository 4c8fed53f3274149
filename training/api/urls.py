from django.urls import path
from rest_framework.routers import SimpleRouter

from training.api.chains import ChainViewSet
from training.api.estimates import EstimateView
from training.api.queue import QueueView
from training.api.views import AdapterViewSet, JobViewSet

router = SimpleRouter()
router.register("training/jobs", JobViewSet, basename="api-job")
router.register("training/chains", ChainViewSet, basename="api-chain")
router.register("adapters", AdapterViewSet, basename="api-adapter")
urlpatterns = [
    path("training/estimate/", EstimateView.as_view(), name="api-estimate"),
    path("training/queue/", QueueView.as_view(), name="api-queue"),
    *router.urls,
]
