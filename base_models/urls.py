app_name = "base_models"
urlpatterns: list = []
