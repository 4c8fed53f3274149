from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DatasetsConfig(AppConfig):
    name = "datasets_app"
    verbose_name = _("datasets")

    def ready(self) -> None:
        from datasets_app import signals  # noqa: F401  the models have to be there first
