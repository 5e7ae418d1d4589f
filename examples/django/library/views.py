"""Lend books, and show loans."""

import datetime as dt

from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from library.models import Book, Loan
from library.tasks import confirm, remind

DAYS = 28


class NoCopyError(Exception):
    """All copies of a book are lent."""


@csrf_exempt
@require_POST
def lend(request: HttpRequest) -> HttpResponse:
    """Lend a book, if there is a copy on the shelf."""
    try:
        loan = _lend(request.POST["title"], request.POST["reader"])
    except NoCopyError:
        return HttpResponse("All copies are lent.\n", status=409)
    return JsonResponse({"loan": loan.pk}, status=201)


@transaction.atomic
def _lend(title: str, reader: str) -> Loan:
    book = get_object_or_404(Book, title=title)
    due = timezone.now() + dt.timedelta(days=DAYS)
    loan: Loan = Loan.objects.create(book=book, reader=reader, due=due)
    # Enqueued once the loan is there for whoever looks: if it is not committed, never.
    transaction.on_commit(lambda: confirm(loan.pk))
    transaction.on_commit(lambda: remind.options(eta=due).defer(loan.pk))
    if not Book.objects.filter(pk=book.pk, copies__gt=0).update(copies=F("copies") - 1):
        raise NoCopyError
    return loan


@require_GET
def show(_request: HttpRequest, loan: int) -> HttpResponse:
    """Show what was written about a loan."""
    found = get_object_or_404(Loan, pk=loan)
    return JsonResponse({"is_confirmed": found.is_confirmed, "reminders": found.reminders})
