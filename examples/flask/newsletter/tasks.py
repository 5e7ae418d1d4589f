"""What the newsletter does outside of requests."""

import datetime as dt
from typing import Any

from google.cloud.datastore import Entity

import adjourn
from newsletter import store

app = adjourn.App()


def send(mail: str, to: str, text: str) -> None:
    """Stand in for your mail provider: keep the mail where it can be looked at."""
    store.save("Mail", f"{mail} {to}", text=text)


@app.deferred(queue="mail", max_retries=5)
def welcome(email: str) -> None:
    """Greet a new subscriber; to do it twice does no harm."""
    send("welcome", email, "Good to have you.")
    store.save("Subscriber", email, is_welcomed=True)


@app.query_iter
class Mailing(adjourn.QueryIter[Entity]):
    """Sends an issue to every subscriber, in steps that resume where one was interrupted."""

    def handle_entry(self, entry: Entity, custom_data: dict[str, Any]) -> None:
        """Send it to one."""
        send(custom_data["title"], entry.key.name, custom_data["text"])

    def handle_finish(self, total_count: int, custom_data: dict[str, Any]) -> None:
        """Note how many have got it."""
        store.save("Issue", custom_data["title"], sent=total_count)


@app.periodic(cron="0 6 * * *", cron_name="nightly")
def count_subscribers() -> None:
    """Note each morning how many there are."""
    counting = store.client().aggregation_query(store.subscribers()).count("n")
    found = next(iter(counting.fetch()))[0].value
    store.save("Count", dt.datetime.now(dt.UTC).date().isoformat(), subscribers=found)
