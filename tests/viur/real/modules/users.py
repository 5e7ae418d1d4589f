"""Ways to log in are modules of the user module; a mail is sent if the change is committed."""

from viur.core import db
from viur.core.module import Module
from viur.core.tasks import CallDeferred


class UserPassword(Module):
    def __init__(self, moduleName, modulePath, user=None):
        self._user_module = user
        super().__init__(moduleName, modulePath)

    @CallDeferred
    def send_verification(self, key, name):
        entity = db.Get(key)
        entity["mailed"] = f"{name} at {self.modulePath}"
        db.Put(entity)


class User(Module):
    def __init__(self, moduleName, modulePath, *args, **kwargs):
        self.auth_userpassword = UserPassword(
            "auth_userpassword", f"{modulePath}/auth_userpassword", user=self
        )
        super().__init__(moduleName, modulePath, *args, **kwargs)

    def register(self, name, *, fails=False):
        key = db.Key("user", name)

        def add():
            entity = db.Entity(key)
            entity["name"] = name
            db.Put(entity)
            self.auth_userpassword.send_verification(key, name=name)
            if fails:
                raise ValueError(name)

        try:
            db.RunInTransaction(add)
        except ValueError:
            failed = db.Entity(db.Key("user", f"{name}-failed"))
            db.Put(failed)


def exercise(world):
    world.main_app.user.register("ann")
    if not world.is_viur:  # in its synchronous form ViUR runs what was rolled back, too
        world.main_app.user.register("bob", fails=True)
    else:
        db.Put(db.Entity(db.Key("user", "bob-failed")))
