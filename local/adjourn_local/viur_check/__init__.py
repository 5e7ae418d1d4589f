"""Reads the source of a ViUR project and finds what behaves differently on adjourn.

Each rule in `rules` looks at one kind of node of the syntax tree; `project` walks over the files.
"""
