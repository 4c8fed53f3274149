from django.urls import path

from serving import views

app_name = "serving"
urlpatterns = [
    path("adapters/<uuid:adapter_id>/compare/", views.compare, name="compare"),
    path("adapters/<uuid:adapter_id>/compare/part/", views.compare_part, name="compare-part"),
    path("adapters/<uuid:adapter_id>/answers/base/", views.answer_base, name="answer-base"),
    path("adapters/<uuid:adapter_id>/answers/tuned/", views.answer_tuned, name="answer-tuned"),
    path(
        "training/<uuid:job_id>/checkpoints/<int:step>/compare/",
        views.compare_checkpoint,
        name="checkpoint-compare",
    ),
    path(
        "training/<uuid:job_id>/checkpoints/<int:step>/answers/base/",
        views.answer_checkpoint_base,
        name="checkpoint-answer-base",
    ),
    path(
        "training/<uuid:job_id>/checkpoints/<int:step>/answers/tuned/",
        views.answer_checkpoint_tuned,
        name="checkpoint-answer-tuned",
    ),
]
