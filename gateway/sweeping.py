"""The periodic sweep: goes on with what waits, writes what is due, throws away what is over."""

from gateway import batch_running, batching, filing, tuning, tuning_told
from gateway.models import ApiFile, FilePurpose


def sweep() -> None:
    settle_files()
    tuning.advance_waiting()
    tuning_told.settle_all_results()
    batching.send_waiting(batch_running.stale_before())
    filing.delete_expired()


def settle_files() -> None:
    """Takes over what workers have made of large files."""
    read = ApiFile.objects.filter(purpose=FilePurpose.FINE_TUNE, version=None, problem="")
    for file in read.select_related("brought_by"):
        filing.settle(file)
