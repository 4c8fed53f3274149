"""Makes the version of an import that a worker has claimed, and ends the import. Runs in the worker's child."""

import time
from collections.abc import Callable

from datasets_app import events, leases, services
from datasets_app.models import DatasetImport, DatasetVersion, ImportSource, ImportStatus

PROGRESS_SECONDS = 1

Make = Callable[[DatasetImport, Callable[[float], None]], DatasetVersion]

# What makes the version, by where it comes from. Each is told whom to report its progress to (0 to 1), and
# raises DatasetRefused where nothing can be made.
SOURCES: dict[str, Make] = {
    ImportSource.UPLOAD: services.run_upload,
    ImportSource.REFERENCE: services.import_reference,
    ImportSource.DERIVED: services.run_derivation,
}


class Progress:
    """Writes how far it is (0 to 1) at most once a second; ends the process once the import is no longer ours."""

    def __init__(self, imported: DatasetImport, token: str):
        self.imported, self.token, self.written_at = imported, token, 0.0

    def __call__(self, share: float) -> None:
        now = time.monotonic()
        if now - self.written_at < PROGRESS_SECONDS:
            return
        self.written_at = now
        if not leases.hold(self.imported.pk, self.token, progress=max(0.0, min(1.0, share))):
            raise SystemExit("the import was cancelled or taken over")
        events.import_changed(self.imported)


def bring(import_id: str, token: str) -> None:
    """Makes the version and ends the import; a refusal ends it with its report."""
    imported = DatasetImport.objects.select_related("owner", "dataset", "connection").get(pk=import_id)
    try:
        version = SOURCES[imported.source](imported, Progress(imported, token))
    except services.DatasetRefused as problem:
        leases.finish(
            import_id,
            token,
            ImportStatus.REFUSED,
            message=str(problem),
            report_sha256=services.keep_report(imported, problem),
        )
        return
    if leases.finish(
        import_id,
        token,
        ImportStatus.DONE,
        version=version,
        progress=1.0,
        report_sha256=version.report_sha256,
    ):
        services.throw_away_bytes(imported)
    else:
        services.take_back(version, with_dataset=imported.dataset is None)
