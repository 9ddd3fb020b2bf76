"""The laboratory: what happens after *Train*. In reading order:

- `store`: the truth about runs, in one SQLite file and a folder of artefacts
- `task`: the work itself, on a worker
- `workers`: the local cluster, a child process of the server
- `engine`: the queue; hands runs to workers and what they tell to the store
"""
