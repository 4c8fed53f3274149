from django.urls import path

from ledger import views

app_name = "usage"
urlpatterns = [
    path("", views.page, name="page"),
    path("usage.csv", views.export, name="export"),
    path("limits/", views.set_limit, name="limit-set"),
    path("limits/<uuid:budget_id>/remove/", views.remove_limit, name="limit-remove"),
]
