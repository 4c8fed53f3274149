"""Measurements: one file for each subject, each with `measure()`, which yields figures (see `bench.figures`).

`python -m bench` runs all, `python -m bench up` one, `--json` prints one JSON object a line. Ours and a peer are
measured in the same run, in turns, and only their ratio means something on another machine.
"""
