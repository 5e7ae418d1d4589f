"""What the library does outside of requests. `library.worker` sets Django up for it."""

from django.db.models import F

import adjourn
from library.models import Loan

app = adjourn.App()


@app.deferred(queue="mail", max_retries=5)
def confirm(loan: int) -> None:
    """Tell the reader until when the book is theirs; here, only note that."""
    Loan.objects.filter(pk=loan).update(is_confirmed=True)


@app.deferred(queue="mail", max_retries=5, once=True)
def remind(loan: int) -> None:
    """Remind the reader; a delivery that comes twice counts once."""
    Loan.objects.filter(pk=loan).update(reminders=F("reminders") + 1)
