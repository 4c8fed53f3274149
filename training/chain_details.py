"""Page-shaped reads of chains."""

from dataclasses import dataclass

from training.gates import gate_words
from training.models import Chain, ChainStage


@dataclass(frozen=True)
class Step:
    """A stage as the page shows it. `number` from 1."""

    stage: ChainStage
    number: int
    gate: str  # in words; empty where nothing is asked

    @property
    def status(self) -> str:
        """That of its job; *waiting* before it has one, *stopped* where its gate stayed shut."""
        if self.stage.has_passed is False:
            return "stopped"
        return self.stage.job.status if self.stage.job else "waiting"


def steps(chain: Chain) -> list[Step]:
    stages = chain.stages.select_related("job", "dataset_version__dataset")
    return [
        Step(
            stage,
            stage.position + 1,
            gate_words(stage.gate) if stage.gate.get("kind", "none") != "none" else "",
        )
        for stage in stages
    ]


def chains_for_list(user):
    """Newest first, each with its stages and their jobs."""
    chains = Chain.objects.for_user(user).select_related("base_model")
    return chains.prefetch_related("stages__job", "stages__dataset_version__dataset")
