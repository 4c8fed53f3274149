"""What `bench.chaos` is made of: a site of pieces that are broken on purpose, by a plan drawn from a seed.

- `clock.c`, `clock`: a clock that can be set for one process
- `site`: a real Apex, each process started again when it ends
- `rows`: what the tables say at the moment
- `plan`: which fault strikes which job, and when, drawn from a seed
- `faults`: the table of faults, each with the function that does it
- `owner`: the person whose jobs they are
- `driving`: carries the plan out and looks for what is stuck
- `writing_down`: what became of the jobs, read through the product
- `verdict`: compares that with undisturbed twins
- `plain_celery`, `peer`: plain Celery under a share of the same faults
"""
