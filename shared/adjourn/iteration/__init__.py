"""Iterations: resumable walks over the entities of a Datastore query.

Users write a class (`query_iter`, `bulk`), which `start` makes runs of. A run (`runs`) is split
into shards (`shards`, `split`). Each delivered step goes to `receiver`, which carries out a
`shard_step` (with the loop in `walk`) or a `run_step`. `control` watches and changes runs, and
`revive` enqueues steps that are missing.
"""
