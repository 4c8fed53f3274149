"""One machine, one person or a few: what `make up` runs."""

from apex.settings.base import *  # noqa: F403
