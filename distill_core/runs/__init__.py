"""From *Train* to the records of a run. In reading order:

- `keys`: what identifies a run's content and its owner
- `schema`, `store`: the source of truth about runs, in one SQLite file and a folder of artefacts
- `transitions`: the states of a run, and every way from one to another
- `limits`: what the lab takes, and estimates of what a run needs
- `upkeep`: paused runs expire, and the oldest results make room on the disk
- `process`, `workers`: the settings of a process that trains; the local cluster, a child process of the server
- `task`: the training and its reports, on a worker
- `cluster`: the connection to the workers
- `queue`: which runs wait, which are on a worker
- `servers`: which servers live
- `dispatcher`: the thread that assigns runs to workers and writes what they report
- `engine`: what pages ask of the queue
"""
