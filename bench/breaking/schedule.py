"""Which fault strikes which training at which moment of its life: all drawn from one seed, before anything starts."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LOADING = 0.12  # the part of a life that goes by before the first step
LOADING_SECONDS = 2.0
DRILL = {"steps": 40, "seconds_per_step": 0.04, "eval_steps": 10, "checkpoint_steps": 4}
# Few, so that one undisturbed twin serves many.
DRILLS = {
    "drill small": DRILL | {"seed": 1},
    "drill wide": DRILL | {"seed": 2, "width": 384, "learning_rate": 0.001},
    "drill halved": DRILL | {"seed": 3, "oom_above": 16},
    "drill short": DRILL | {"seed": 4, "steps": 24, "checkpoint_steps": 3},
}
LORA = {
    "epochs": 1,
    "min_steps": 12,
    "max_steps": 12,
    "eval_steps": 6,
    "checkpoint_steps": 3,
    "sample_count": 0,
}
LORAS = {"lora": LORA | {"seed": 11}}
FAULTS_PER_DRILL = (3, 6)


@dataclass(frozen=True)
class Fault:
    """`place` is the moment, as a part of the life of the training that it strikes (0 begun, 1 done)."""

    number: int
    kind: str
    place: float

    def __str__(self) -> str:
        return f"{self.number}. {self.kind} at {self.place:.2f}"


@dataclass
class Task:
    """One training of the drill, by the name that its owner gives it, and what is to happen to it."""

    name: str
    recipe: str
    faults: list[Fault] = field(default_factory=list)

    @property
    def method(self) -> str:
        return "drill" if self.recipe in DRILLS else "sft"

    @property
    def config(self) -> dict:
        return (DRILLS | LORAS)[self.recipe]

    def __str__(self) -> str:
        return f"{self.name}: " + ("; ".join(map(str, self.faults)) or "nothing")


def draw(
    faults: int, seed: int, weights: Mapping[str, int], *, loras: int, for_lora: Sequence[str]
) -> list[Task]:
    """The trainings in the order in which they are started.

    Every kind of `weights` is there once before any is there more often than its weight says; each of the `loras`
    real trainings gets one fault of `for_lora`, the kinds that interrupt; places are uniform over a life.
    """
    rng = random.Random(seed)
    kinds = list(weights)
    drawn = kinds + rng.choices(kinds, list(weights.values()), k=max(0, faults - len(kinds)))
    drawn = drawn[:faults]
    rng.shuffle(drawn)
    tasks: list[Task] = []
    number = 0
    for index in range(loras):
        chosen = next((i for i, kind in enumerate(drawn) if kind in for_lora), None)
        if chosen is None:
            break
        number += 1
        # Beyond its loading, which takes longer than its steps: what is worth seeing is how it goes on.
        fault = Fault(number, drawn.pop(chosen), rng.uniform(LOADING, 1))
        tasks.append(Task(f"lora {index + 1}", rng.choice(list(LORAS)), [fault]))
    while drawn:
        count = min(len(drawn), rng.randint(*FAULTS_PER_DRILL))
        places = sorted(rng.random() for _ in range(count))
        struck = [Fault(number + i + 1, drawn.pop(), place) for i, place in enumerate(places)]
        number += count
        tasks.append(Task(f"training {len(tasks) + 1}", rng.choice(list(DRILLS)), struck))
    return spread(tasks, rng)


def spread(tasks: list[Task], rng: random.Random) -> list[Task]:
    """The real ones among the others, not all at the beginning; the order of the others stays."""
    loras = [task for task in tasks if task.method == "sft"]
    others = [task for task in tasks if task.method != "sft"]
    for task in loras:
        others.insert(rng.randrange(len(others) // 2 + 1), task)
    return others


def twins(tasks: list[Task]) -> list[Task]:
    """One training without faults for each recipe that occurs."""
    return [Task(f"twin of {recipe}", recipe) for recipe in sorted({task.recipe for task in tasks})]
