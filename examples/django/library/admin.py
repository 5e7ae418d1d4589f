"""The library for its staff."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

import adjourn
from library.models import Book, Loan
from library.tasks import remind

admin.site.register(Book)


@admin.register(Loan)
class LoanAdmin(admin.ModelAdmin):
    """Loans, with an action for those that are chosen."""

    list_display = ("book", "reader", "due", "reminders")
    actions = ("remind_readers",)

    @admin.action(description="Remind the readers")
    def remind_readers(self, request: HttpRequest, queryset: QuerySet[Loan]) -> None:
        """Remind whoever has the chosen books."""
        results = remind.map(queryset.values_list("pk", flat=True))
        failed = [each for each in results if not isinstance(each, adjourn.TaskHandle)]
        if failed:
            self.message_user(request, f"{len(failed)} were not: {failed[0]}", messages.ERROR)
        done = len(results) - len(failed)
        self.message_user(request, f"{done} readers are reminded.", messages.SUCCESS)
