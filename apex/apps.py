from django.apps import AppConfig

from apex import celery  # noqa: F401 - tasks belong to the app that was made last: ours, wherever Django runs


class ApexConfig(AppConfig):
    name = "apex"
    verbose_name = "Apex"

    def ready(self) -> None:
        from apex.common import api_schema  # noqa: F401 - being loaded is what makes it known
