"""The peer of "click → worker started": a stock Celery task on the same broker that notes when it began."""

import os
import time

import redis
from celery import Celery

from apex.processes.broker import celery_url, redis_py_url

URL = os.environ["APEX_REDIS_URL"]
app = Celery("stock", broker=celery_url(URL, db=4))
app.conf.worker_prefetch_multiplier = 1


@app.task(ignore_result=True)
def note(key: str) -> None:
    redis.Redis.from_url(redis_py_url(URL, db=4)).rpush(key, repr(time.time()))
