"""Ends answers whose process is gone: what nobody writes any more is marked as broken off."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common.states import move
from minions.models import MOVES, Message, Writing

# The longest that an answer may take: longer than every limit that its stages have together.
LONGEST = timedelta(minutes=20)


def sweep() -> int:
    """Returns how many were ended. Running it twice is harmless."""
    late = Message.objects.filter(status=Writing.WRITING, created_at__lt=timezone.now() - LONGEST)
    words = _("The server stopped while this was being written.")
    return sum(move(message, Writing.BROKEN, moves=MOVES, problem=words) for message in late[:500])
