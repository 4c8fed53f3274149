"""`/healthz`: green when the database and the broker answer."""

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import JsonResponse

from apex.processes.broker import redis_py_url


def check_database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as problem:
        return f"down: {type(problem).__name__}"
    return "up"


def check_broker() -> str:
    try:
        client = redis.Redis.from_url(
            redis_py_url(settings.REDIS_URL, db=0), socket_timeout=2, socket_connect_timeout=2
        )
        client.ping()
        client.close()
    except (redis.RedisError, OSError) as problem:
        return f"down: {type(problem).__name__}"
    return "up"


def healthz(request):
    """200 and `{"status": "ok"}` when every part answers; 503 with the parts that do not."""
    parts = {"database": check_database(), "broker": check_broker()}
    ok = all(state == "up" for state in parts.values())
    return JsonResponse({"status": "ok" if ok else "down", **parts}, status=200 if ok else 503)
