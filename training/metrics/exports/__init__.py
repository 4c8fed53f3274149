"""Metrics taken away: every step, every digit, in the files that other programs read. No Django.

One file a format; each has `EXTENSION`, `CONTENT_TYPE` and `pieces(blocks, names)`, which yields the file's bytes as
the blocks come and holds only a few of them at a time.
"""

from training.metrics.exports import csv_lines, parquet, tensorboard

FORMATS = {"csv": csv_lines, "parquet": parquet, "tensorboard": tensorboard}
