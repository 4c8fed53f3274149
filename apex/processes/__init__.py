"""The parts of a running Apex: which processes there are, and starting, watching and stopping them.

Nothing in this package imports Django, so that settings may read it; only `prepare` does.

- `places`: the folders (data directory, runtime directory, logs)
- `broker`: finds, starts and addresses the Redis-compatible server
- `checks`: what must be true before anything starts (disk, port), each with advice
- `plan`: the list of processes, each with its command
- `child`: one process: start, log file, stop with all its descendants
- `worker`: a Celery worker whose pool processes never outlive it
- `prepare`: tables, static files, base models, the first administrator
- `supervisor`: the loop that keeps the plan alive
"""
