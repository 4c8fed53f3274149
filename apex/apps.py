from django.apps import AppConfig


class ApexConfig(AppConfig):
    name = "apex"
    verbose_name = "Apex"

    def ready(self) -> None:
        from apex.common import api_schema  # noqa: F401 - being loaded is what makes it known
