"""The library without adjourn's services: Django's client and database, adjourn's sandbox."""

from django.contrib.auth.models import User
from django.test import TestCase, TransactionTestCase

from adjourn.testing import fake
from library.models import Book, Loan
from library.tasks import app, confirm, remind

ORDER = {"title": "Emma", "reader": "ann@shop.example"}


class LendingTest(TransactionTestCase):
    """Lends for good, so that what waits for the commit happens."""

    def test_a_loan_is_confirmed_at_once_and_reminded_of_when_it_is_due(self) -> None:
        """Both tasks are enqueued with the loan that was committed."""
        Book.objects.create(title="Emma")
        with fake(app) as box:
            pk = self.client.post("/loans", ORDER).json()["loan"]

            box.assert_enqueued(confirm, pk)
            box.assert_enqueued(remind.options(eta=Loan.objects.get().due), pk)
            box.drain()

        shown = self.client.get(f"/loans/{pk}").json()
        self.assertEqual(shown, {"is_confirmed": True, "reminders": 0})

    def test_what_is_rolled_back_enqueues_nothing(self) -> None:
        """The loan was made and both calls were prepared, and then no copy was left."""
        Book.objects.create(title="Emma", copies=0)
        with fake(app) as box:
            self.assertEqual(self.client.post("/loans", ORDER).status_code, 409)

            self.assertEqual(box.enqueued(), [])
        self.assertFalse(Loan.objects.exists())


class AdminTest(TestCase):
    """Works within a transaction that is never committed, as most tests of Django do.

    What waits for the commit would need `self.captureOnCommitCallbacks(execute=True)`.
    """

    def test_the_action_reminds_the_readers_of_the_chosen_loans(self) -> None:
        """The action of the admin enqueues one task for each loan."""
        self.client.force_login(User.objects.create_superuser("eve"))
        book = Book.objects.create(title="Emma")
        loans = [
            Loan.objects.create(book=book, reader=who, due="2026-01-01T00:00Z") for who in "ab"
        ]
        chosen = {"action": "remind_readers", "_selected_action": [each.pk for each in loans]}

        with fake(app) as box:
            self.client.post("/admin/library/loan/", chosen)

        for loan in loans:
            box.assert_enqueued(remind, loan.pk)
