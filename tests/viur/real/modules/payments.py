"""Payment providers of a shop: modules below a module, with a base class that is overridden."""

from viur.core import db
from viur.core.decorators import exposed
from viur.core.module import Module
from viur.core.tasks import CallDeferred


class Provider(Module):
    @CallDeferred
    def check_state(self, order_key, payment=None):
        log(self, order_key, payment or {}, by="base")

    @exposed
    @CallDeferred
    def notify(self, order_key):
        log(self, order_key, {}, by="notify")

    @CallDeferred
    @exposed
    def recheck(self, order_key):
        log(self, order_key, {}, by="recheck")


class Invoice(Provider):
    pass


class Card(Provider):
    @CallDeferred
    def check_state(self, order_key, payment=None):
        log(self, order_key, {"card": True, **(payment or {})}, by="card")
        super().check_state(order_key, payment, _call_deferred=False)


class Shop(Module):
    def __init__(self, moduleName, modulePath, *args, **kwargs):
        self.card = Card("card", f"{modulePath}/card")
        self.invoice = Invoice("invoice", f"{modulePath}/invoice")
        self.providers = [self.card, self.invoice]
        super().__init__(moduleName, modulePath, *args, **kwargs)

    @CallDeferred
    def check_all(self, order_key):
        for provider in self.providers:
            provider.check_state(order_key, {"amount": 7}, _countdown=0)


def log(module, order_key, payment, by):
    name = f"{module.modulePath}-{order_key.name}-{by}".replace("/", "-")
    entity = db.Entity(db.Key("payment", name))
    entity.update(payment, order=order_key, kind=type(module).__name__)
    db.Put(entity)


def exercise(world):
    shop = world.main_app.shop
    shop.check_all(db.Key("order", "o1"))
    Provider.check_state(shop.invoice, db.Key("order", "o2"))
    Card("card", "shop/card").check_state(db.Key("order", "o3"))
    shop.card.notify(order_key=db.Key("order", "o4"))
    shop.card.recheck(db.Key("order", "o5"))
