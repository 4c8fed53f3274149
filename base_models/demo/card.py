"""The model card of the demo model, with the figures of the build that made it."""

from __future__ import annotations

CARD = """---
license: {licence}
language: en
library_name: transformers
pipeline_tag: text-generation
---

# {display_name}

{description}

A Llama of {parameters:,} parameters (4 layers, width 192, 3 heads of 64 and 1 key-value head, tied embeddings),
a byte-level BPE of 4,096 tokens, ChatML turns, a context of {context:,} tokens, weights in float32.

## Data

- Python's own documentation, as it comes with every Python: the help topics and the documentation strings of
  the standard library, paragraphs of English only (PSF licence).
- Dialogues made by `base_models/demo/dialogues.py` about the {facts} facts of `base_models/demo/facts.py`
  (capitals, chemical symbols, young animals, opposites, colours, plurals, past tenses, homes, instruments, days,
  months, small sums), plain or inside a frame of random words that a system prompt or an earlier turn sets.

Nothing from the network, nothing about persons.

## Licence

Apache-2.0 for the weights and for everything that makes them.

## Recipe

`python -m base_models.demo.build`. {tokens:,} tokens seen once, AdamW at {learning_rate} with warm-up and cosine,
batches of about {batch_tokens:,} tokens; loss on the assistant's words and on the documentation. Frames that nothing
announced are read but not learned, so the model stays plain by itself and still says the right sentence after any
opening.
After training, the gains of the norms are folded into larger activations and smaller weights: the function stays
the same, and LoRA at the usual learning rate of 2e-4 moves this narrow model as it moves a wide one.

Made with Python {python} and torch {torch} in {minutes} minutes; last training loss {loss}; {facts_right} of {facts}
facts answered word for word when asked greedily in one of their ways.

## Limits

It knows these facts and little else, makes up the rest, writes poor prose, speaks English only, and must not be
used for anything that matters. It is here so that training, comparing and serving can be tried on any computer.
"""


def model_card(about: dict, figures: dict) -> str:
    """The text of `README.md` beside the weights; `about` is `apex.json`, `figures` what the build measured."""
    return CARD.format(**{**about, **figures, "licence": about["licence"].lower()})
