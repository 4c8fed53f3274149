from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class BaseModelsConfig(AppConfig):
    name = "base_models"
    verbose_name = _("base models")
