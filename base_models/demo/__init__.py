"""The demo base model: its facts, its corpus, its training script and the model itself. No Django inside."""
