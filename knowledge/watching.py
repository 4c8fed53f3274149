"""The heartbeat of a row while its work goes on."""

import multiprocessing
import time

from celery.signals import worker_shutting_down

from knowledge import leases
from knowledge.reading import Stopped

BEAT_SECONDS = 1
# Made before the worker forks its hands: the signal reaches the worker alone, the event reaches all.
stopping = multiprocessing.Event()


@worker_shutting_down.connect
def stop_soon(**kwargs) -> None:
    stopping.set()


class Watch:
    """Beats the heart of a row while its work goes on, and stops the work that is no longer wanted."""

    def __init__(self, row) -> None:
        self.row, self.beaten, self.told = row, time.monotonic(), 0.0

    def go_on(self) -> bool:
        if stopping.is_set():
            leases.put_back(self.row)
            return False
        if time.monotonic() - self.beaten < BEAT_SECONDS:
            return True
        self.beaten = time.monotonic()
        return leases.hold(self.row)

    def tell(self, progress: float) -> None:
        """Notes the progress, and tells the page where it has come on visibly. Raises `Stopped`."""
        if not self.go_on():
            raise Stopped
        if progress - self.told >= 0.02 or progress < self.told:
            self.told = progress
            if not leases.hold(self.row, progress=progress):
                raise Stopped
            leases.changed(self.row)
