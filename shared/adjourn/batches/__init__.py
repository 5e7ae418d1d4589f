"""Batches: calls, runs and batches that belong together, with one end that takes effect once.

The children of a batch are registered in shards before they are made. The end of a child is a mark
in its shard, so that a repetition changes nothing. A shard whose children have all ended tells its
parent: another shard, or the batch itself.
"""
