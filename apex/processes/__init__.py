"""The parts of a running Apex: which processes there are, and starting, watching and stopping them.

Nothing in this package imports Django, so that settings may read it.

- `places`: the folders (data directory, runtime directory, logs)
- `broker`: finds, starts and addresses the Redis-compatible server
- `checks`: what must be true before anything starts (disk, port), each with advice
- `plan`: the list of processes, each with its command
- `child`: one process: start, log file, stop with all its descendants
- `supervisor`: the loop that keeps the plan alive
"""
