"""Wiring of the project above, its shared floor (`apex.common`) below."""

from apex.celery import app as celery_app

__all__ = ["celery_app"]
