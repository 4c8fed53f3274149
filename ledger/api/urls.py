from rest_framework.routers import SimpleRouter

from ledger.api.views import BudgetViewSet, UsageViewSet

router = SimpleRouter()
router.register("usage", UsageViewSet, basename="api-usage")
router.register("budgets", BudgetViewSet, basename="api-budget")
urlpatterns = router.urls
