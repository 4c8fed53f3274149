"""The peer of job creation: one bare Django view that makes the same look-ups and inserts, with nothing around it.

Run by uvicorn (`bench.bare_django:application`) on the SQLite file that `BARE_DATABASE` names.
"""

import hashlib
import json
import os
import uuid

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connection, transaction
from django.http import JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY="bench",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=[],
    USE_TZ=True,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["BARE_DATABASE"],
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    },
)
django.setup()
TABLES = """
CREATE TABLE IF NOT EXISTS token (digest TEXT PRIMARY KEY, owner INTEGER);
CREATE TABLE IF NOT EXISTS dataset (id TEXT PRIMARY KEY, owner INTEGER);
CREATE TABLE IF NOT EXISTS base_model (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS job (id TEXT PRIMARY KEY, owner INTEGER, name TEXT, dataset TEXT, base TEXT, config TEXT);
CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, job TEXT, message TEXT);
INSERT OR IGNORE INTO base_model VALUES ('apex-demo');
"""


def create_job(request):
    digest = hashlib.sha512(request.headers["authorization"].encode()).hexdigest()
    asked = json.loads(request.body)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT owner FROM token WHERE digest = %s", [digest])
        owner = (cursor.fetchone() or [1])[0]
        cursor.execute("SELECT id FROM dataset WHERE id = %s AND owner = %s", [asked["dataset"], owner])
        cursor.fetchone()
        cursor.execute("SELECT name FROM base_model WHERE name = %s", [asked["base_model"]])
        cursor.fetchone()
        job = str(uuid.uuid4())
        values = [
            job,
            owner,
            asked["name"],
            asked["dataset"],
            asked["base_model"],
            json.dumps(asked["config"]),
        ]
        cursor.execute("INSERT INTO job VALUES (%s, %s, %s, %s, %s, %s)", values)
        cursor.execute("INSERT INTO event (job, message) VALUES (%s, %s)", [job, "queued"])
    return JsonResponse({"id": job, "status": "queued"}, status=201)


def make_tables(_request):
    with connection.cursor() as cursor:
        for statement in filter(str.strip, TABLES.split(";")):
            cursor.execute(statement)
    return JsonResponse({})


urlpatterns = [path("jobs/", create_job), path("tables/", make_tables)]
application = get_asgi_application()
