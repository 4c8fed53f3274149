from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ServingConfig(AppConfig):
    name = "serving"
    verbose_name = _("serving")

    def ready(self) -> None:
        from serving import signals  # noqa: F401  the models have to be there first
