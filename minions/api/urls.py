from rest_framework.routers import SimpleRouter

from minions.api.conversations import ConversationViewSet, MessageViewSet
from minions.api.views import MinionViewSet

router = SimpleRouter()
router.register("minions", MinionViewSet, basename="api-minion")
router.register("conversations", ConversationViewSet, basename="api-conversation")
router.register("messages", MessageViewSet, basename="api-message")
urlpatterns = router.urls
