"""The Celery application. Workers: `celery -A apex worker -Q QUEUE`; scheduler: `celery -A apex beat`."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "apex.settings.active")

app = Celery("apex")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
