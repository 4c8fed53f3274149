"""Names and payloads of what knowledge tells the pages."""

from apex.common.events import announce, user_group


def base_group(base_id) -> str:
    return f"knowledge.base.{base_id}"


def base_changed(base_id, owner_id) -> None:
    """The base's page reads its documents again; so does the list of its owner."""
    payload = {"type": "knowledge.changed", "id": str(base_id)}
    announce(base_group(base_id), payload)
    announce(user_group(owner_id), payload)
