"""What carries work, when it is looked for, and how much of each kind goes on at once."""

import os
from typing import Any

from apex.processes import broker
from apex.settings.data import DATA_DIR
from apex.settings.mail import MAIL_IS_SET_UP, MAIL_SWEEP_SECONDS
from apex.settings.queues import count_gpus, node_name, training_queues

# --- Broker, cache, channel layer: one server, four databases ----------------------------------------------
REDIS_URL = os.environ.get("APEX_REDIS_URL") or broker.redis_url(DATA_DIR)
CELERY_BROKER_URL = broker.celery_url(REDIS_URL, db=0)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": broker.redis_py_url(REDIS_URL, db=1),
        # redis-py 8 stops at 100 connections and gives up after 5 s; a busy site needs more of the first.
        "OPTIONS": {"max_connections": 1000, "socket_timeout": 10},
        "KEY_PREFIX": "apex",
    }
}
# What is counted in a minute (`apex.common.rates`): a server that says nothing must not hold up a call.
CACHES["counts"] = CACHES["default"] | {"OPTIONS": {"max_connections": 1000, "socket_timeout": 1}}
CHANNEL_LAYERS = {"default": broker.channel_layer_config(REDIS_URL)}

# --- Work ---------------------------------------------------------------------------------------------------
GPU_COUNT = count_gpus()
NODE_NAME = node_name()
TRAINING_QUEUES = training_queues(GPU_COUNT, NODE_NAME)
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_IGNORE_RESULT = True
# Early: a redelivered task finds its row claimed and stops, so an hour-long job can never run twice.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Publishing must not hang a click when the broker is away: the row stays, and the sweep sends it again.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2}
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 3, "max_connections": 1000}
CELERY_TASK_SEND_SENT_EVENT = False
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
TRAINING_HEARTBEAT_SECONDS = float(os.environ.get("APEX_HEARTBEAT_SECONDS", "3"))
TRAINING_LEASE_SECONDS = float(os.environ.get("APEX_LEASE_SECONDS", "20"))
TRAINING_SWEEP_SECONDS = float(os.environ.get("APEX_SWEEP_SECONDS", "10"))
# How often an idle worker looks for work by itself, whatever the broker does.
TRAINING_LOOK_SECONDS = float(os.environ.get("APEX_LOOK_SECONDS", "15"))
# How often servers of models are asked what they have: a server that was started anew gets its adapters back then.
SERVING_LOOK_SECONDS = float(os.environ.get("APEX_SERVING_LOOK_SECONDS", "5"))


def every(seconds: float, task: str, *, least: float = 0.0) -> dict[str, Any]:
    """An entry of the scheduler. What no worker has begun when the next one comes, and for `least` seconds, is over."""
    return {"task": task, "schedule": seconds, "options": {"expires": max(least, seconds)}}


CELERY_BEAT_SCHEDULE = {
    "sweep-jobs": every(TRAINING_SWEEP_SECONDS, "training.tasks.sweep_jobs", least=10.0),
    "sweep-gateway": every(TRAINING_SWEEP_SECONDS, "gateway.tasks.sweep_gateway", least=10.0),
    "sweep-imports": every(15.0, "datasets_app.tasks.sweep_imports"),
    "sweep-knowledge": every(15.0, "knowledge.tasks.sweep_knowledge"),
    "sweep-minions": every(60.0, "minions.tasks.sweep_minions"),
    "sweep-exports": every(15.0, "serving.tasks.sweep_exports"),
    "sweep-ledger": every(30.0, "ledger.tasks.sweep_ledger"),
    "look-after-nodes": every(SERVING_LOOK_SECONDS, "serving.tasks.reconcile", least=5.0),
}
if MAIL_IS_SET_UP:
    CELERY_BEAT_SCHEDULE["sweep-mails"] = every(MAIL_SWEEP_SECONDS, "accounts.tasks.sweep_mails")

# --- How much at once, and for how long ----------------------------------------------------------------------
EXPORT_KEEP_DAYS = float(os.environ.get("APEX_EXPORT_DAYS", "7"))
EXPORTS_AT_ONCE = 1  # each holds a whole base model in memory
EXPORT_SILENT_SECONDS = 60  # then its worker is taken for gone
EXPORT_TRIES = 3
TRAINING_DRILLS = os.environ.get("APEX_DRILLS", "") == "1"
TRAINING_TRIES = int(os.environ.get("APEX_TRAINING_TRIES", "5"))  # attempts in a row that saved nothing new
IMPORTS_AT_ONCE = 2  # worker-default has hands beside these, for documents, exports, batches and the sweeps
IMPORT_SECONDS = 3600
IMPORT_MEMORY_BYTES = int(os.environ.get("APEX_IMPORT_MEMORY_MB", "2048")) * 1024 * 1024
IMPORT_SILENT_SECONDS = 30  # then its worker is taken for gone
IMPORT_TRIES = 3
IMPORT_KEEP_DAYS = 30
BATCH_CONCURRENCY = int(os.environ.get("APEX_BATCH_CONCURRENCY", "8"))  # questions of a batch at once
# Knowledge: documents that are read, and the indexes that are searched.
DOCUMENT_LIMIT_BYTES = int(os.environ.get("APEX_DOCUMENT_MB", "50")) * 1024 * 1024
DOCUMENT_SECONDS = 300  # for reading one, without its vectors
DOCUMENT_MEMORY_BYTES = int(os.environ.get("APEX_DOCUMENT_MEMORY_MB", "1024")) * 1024 * 1024
DOCUMENTS_AT_ONCE = 2  # of all people; one person never has all hands
DOCUMENTS_WAITING_AT_MOST = 500  # of one person
DOCUMENT_SILENT_SECONDS = 60  # then its worker is taken for gone
DOCUMENT_TRIES = 3
# Of a process, for indexes.
KNOWLEDGE_MEMORY_BYTES = int(os.environ.get("APEX_KNOWLEDGE_MEMORY_MB", "512")) * 1024 * 1024
KNOWLEDGE_CACHE = DATA_DIR / "knowledge-cache"  # copies of large indexes, made of the rows; may be removed
