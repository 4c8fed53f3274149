"""The nudge that tells a worker of an import."""

from apex.common.queueing import send


def send_import(import_id) -> None:
    """If the broker is away the row stays queued and the sweep sends it again."""
    send("datasets_app.tasks.run_import", {"import_id": str(import_id)}, lost="the sweep will send it again")
