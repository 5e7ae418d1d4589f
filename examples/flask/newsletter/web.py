"""The newsletter's web application, which also serves adjourn's functions."""

from flask import Flask, request
from flask.typing import ResponseReturnValue

import adjourn.log
import adjourn.web
from newsletter import store
from newsletter.tasks import Mailing, app, welcome

adjourn.log.configure()
web = Flask(__name__)
web.wsgi_app = adjourn.web.wsgi(app, web.wsgi_app)  # type: ignore[assignment, method-assign]


@web.put("/subscribers/<email>")
def subscribe(email: str) -> ResponseReturnValue:
    """Take a subscription; the mail is sent after the answer."""
    store.save("Subscriber", email, is_welcomed=False)
    welcome(email)
    return "", 202


@web.get("/subscribers/<email>")
def subscriber(email: str) -> ResponseReturnValue:
    """Show a subscriber."""
    found = store.find("Subscriber", email)
    return {"is_welcomed": found["is_welcomed"]} if found else ("", 404)


@web.put("/issues/<title>")
def publish(title: str) -> ResponseReturnValue:
    """Send an issue to all subscribers."""
    run = Mailing.start(
        store.subscribers(), {"title": title, "text": request.get_data(as_text=True)}
    )
    return {"run": run.id}, 202


@web.get("/issues/<title>")
def show_issue(title: str) -> ResponseReturnValue:
    """Show how many have got an issue, once all have."""
    found = store.find("Issue", title)
    return {"sent": found["sent"]} if found else ("", 404)
