from django.urls import path, re_path

from gateway import batch_views, file_views, tuning_views, views

app_name = "gateway"
urlpatterns = [
    path("models", views.list_models, name="models"),
    path("models/<path:model_id>", views.model, name="model"),
    path("chat/completions", views.only_post, name="chat-completions"),
    path("completions", views.only_post, name="completions"),
    path("embeddings", views.only_post, name="embeddings"),
    path("files", file_views.files, name="files"),
    path("files/<str:file_id>", file_views.file, name="file"),
    path("files/<str:file_id>/content", file_views.get_content, name="file-content"),
    path("fine_tuning/jobs", tuning_views.jobs, name="fine-tuning-jobs"),
    path("fine_tuning/jobs/<str:fine_tuning_job_id>", tuning_views.get_job, name="fine-tuning-job"),
    path(
        "fine_tuning/jobs/<str:fine_tuning_job_id>/cancel",
        tuning_views.cancel_job,
        name="fine-tuning-job-cancel",
    ),
    path(
        "fine_tuning/jobs/<str:fine_tuning_job_id>/pause",
        tuning_views.pause_job,
        name="fine-tuning-job-pause",
    ),
    path(
        "fine_tuning/jobs/<str:fine_tuning_job_id>/resume",
        tuning_views.resume_job,
        name="fine-tuning-job-resume",
    ),
    path(
        "fine_tuning/jobs/<str:fine_tuning_job_id>/events",
        tuning_views.list_events,
        name="fine-tuning-events",
    ),
    path(
        "fine_tuning/jobs/<str:fine_tuning_job_id>/checkpoints",
        tuning_views.list_checkpoints,
        name="fine-tuning-checkpoints",
    ),
    path("batches", batch_views.batches, name="batches"),
    path("batches/<str:batch_id>", batch_views.get_batch, name="batch"),
    path("batches/<str:batch_id>/cancel", batch_views.cancel_batch, name="batch-cancel"),
    re_path(r"^(?P<path>(?s:.*))\Z", views.unknown_route, name="unknown-route"),
]
