"""What the bell tells: a row first, then a word to the open pages."""

from accounts import mailing
from accounts.models import Notice
from apex.common.events import announce, user_group


def notify(*, owner, text: str, url: str = "", kind: str = "job", mail: str = "") -> Notice:
    """Puts one line behind the owner's bell and tells the pages that are open.

    `mail` is what an e-mail says of it, where one is wanted: words of ours, with no name that somebody gave.
    """
    notice = Notice.objects.create(owner=owner, text=text[:300], url=url, kind=kind)
    if mail:
        mailing.queue(notice, mail)
    announce(user_group(owner.pk), {"type": "notice.created", "id": str(notice.pk)})
    return notice
