from django.urls import path

from datasets_app.views import catalogue, profile

app_name = "datasets"
urlpatterns = [
    path("", catalogue.dataset_list, name="dataset-list"),
    path("add/", catalogue.dataset_add, name="dataset-add"),
    path("demo/", catalogue.dataset_demo, name="dataset-demo"),
    path("<uuid:dataset_id>/", catalogue.dataset_detail, name="dataset-detail"),
    path("<uuid:dataset_id>/profile/", profile.dataset_profile, name="dataset-profile"),
    path("<uuid:dataset_id>/add/", catalogue.version_add, name="version-add"),
    path("<uuid:dataset_id>/rename/", catalogue.dataset_rename, name="dataset-rename"),
    path("<uuid:dataset_id>/delete/", catalogue.dataset_delete, name="dataset-delete"),
]
