import gc

from django.apps import AppConfig

from apex import celery  # noqa: F401 - tasks belong to the app that was made last: ours, wherever Django runs


class ApexConfig(AppConfig):
    name = "apex"
    verbose_name = "Apex"

    def __init__(self, *args: object) -> None:
        """From here until all models are there Python's collector rests (docs/decisions/0124)."""
        super().__init__(*args)
        gc.disable()

    def ready(self) -> None:
        from apex.common import api_schema  # noqa: F401 - being loaded is what makes it known

        gc.freeze()
        gc.enable()
