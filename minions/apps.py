from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MinionsConfig(AppConfig):
    name = "minions"
    verbose_name = _("Minions")
