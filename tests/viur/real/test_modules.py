"""Modules in the manner of ViUR's own do the same under ViUR's tasks and under adjourn."""

import pytest

from tests.viur.real import worlds


def left_by(world, name):
    worlds.clear()
    module = world.module(name)
    world.run(lambda: module.exercise(world))
    return worlds.effects(name)


def test_there_are_twelve():
    assert len(worlds.NAMES) == 12


@pytest.mark.parametrize("name", worlds.NAMES)
def test_a_module_does_the_same_with_its_import_line_changed(viur_world, adjourn_world, name):
    there, here = left_by(viur_world, name), left_by(adjourn_world, name)

    assert here == there
    assert there, "it leaves nothing that could differ"
