from django.urls import path

from base_models import views

app_name = "base_models"
urlpatterns = [
    path("", views.model_list, name="model-list"),
    path("add/", views.add_model, name="model-add"),
    path("<slug:name>/", views.model_detail, name="model-detail"),
]
