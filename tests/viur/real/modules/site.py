"""The tree of modules, as `viur.core.setup` would build it."""

from types import SimpleNamespace

from tests.viur.real.modules import payments, tree, users


def main_app():
    return SimpleNamespace(
        tree=tree.Tree("tree", "tree"),
        shop=payments.Shop("shop", "shop"),
        user=users.User("user", "user"),
    )
