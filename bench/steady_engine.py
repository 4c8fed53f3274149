"""An engine that says a step every 50 ms, with the moment as its loss: what is measured is the way to the page."""

import json
import time

STEPS = 400


def say(**event) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    time.sleep(2)  # until the socket listens
    say(event="started", total_steps=STEPS, epochs=1, batch_size=1, gradient_accumulation_steps=1, train_rows=1,
        held_out_rows=0, shortened_rows=0, dropped_turns=0, trainable_parameters=1, device="cpu")  # fmt: skip
    for step in range(1, STEPS + 1):
        time.sleep(0.05)
        say(event="step", step=step, epoch=1.0, loss=time.time(), learning_rate=0.0, grad_norm=0.0, tokens=step,
            tokens_per_second=1.0, eta_seconds=0.0)  # fmt: skip
    say(event="failed", reason="unexpected", message="The measurement is over.", advice="")
