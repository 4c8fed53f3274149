from django.urls import path

from datasets_app import views

app_name = "datasets"
urlpatterns = [
    path("", views.dataset_list, name="dataset-list"),
    path("add/", views.dataset_add, name="dataset-add"),
    path("demo/", views.dataset_demo, name="dataset-demo"),
    path("<uuid:dataset_id>/", views.dataset_detail, name="dataset-detail"),
    path("<uuid:dataset_id>/add/", views.version_add, name="version-add"),
    path("<uuid:dataset_id>/rename/", views.dataset_rename, name="dataset-rename"),
    path("<uuid:dataset_id>/delete/", views.dataset_delete, name="dataset-delete"),
]
