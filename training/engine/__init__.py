"""The engine: trains adapters in a process of its own. No Django; `python -m training.engine RUN.json`."""
