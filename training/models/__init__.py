"""Plans, jobs and their attempts; what is recorded of them; the machines they run on; chains of several."""

from training.models.adapters import Adapter, model_id_of, new_model_id
from training.models.chains import CHAIN_MOVES, Chain, ChainStage, ChainStatus
from training.models.hardware import Device, DeviceKind, HardwareOffer, Node
from training.models.jobs import (
    ENDED,
    HELD,
    METHODS,
    MOVES,
    UNFINISHED,
    Attempt,
    JobEvent,
    Plan,
    Priority,
    Purpose,
    Status,
    TrainingJob,
)
from training.models.records import Checkpoint, Discarded, EngineLog, MetricBlock, Sample

__all__ = [
    "CHAIN_MOVES",
    "ENDED",
    "HELD",
    "METHODS",
    "MOVES",
    "UNFINISHED",
    "Adapter",
    "Attempt",
    "Chain",
    "ChainStage",
    "ChainStatus",
    "Checkpoint",
    "Device",
    "DeviceKind",
    "Discarded",
    "EngineLog",
    "HardwareOffer",
    "JobEvent",
    "MetricBlock",
    "Node",
    "Plan",
    "Priority",
    "Purpose",
    "Sample",
    "Status",
    "TrainingJob",
    "model_id_of",
    "new_model_id",
]
