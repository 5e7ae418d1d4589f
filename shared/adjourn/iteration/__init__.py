"""Walk over any number of Datastore entities, in small steps that can neither fork nor be lost.

What an application declares is in `queryiter`, how a run begins in `starts`, how it is watched and
steered in `steering`. A step that arrives goes through `steps` and `iterations` to `lanes`, which
carries it out with `walk`, or to `ends` if it concerns the whole run.
"""
