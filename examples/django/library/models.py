"""Books, and who has them."""

from django.db import models


class Book(models.Model):
    """A title, and how many copies of it are on the shelf."""

    title = models.CharField(max_length=200, unique=True)
    copies = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return str(self.title)


class Loan(models.Model):
    """A copy that somebody has, and what was written to them."""

    book = models.ForeignKey(Book, on_delete=models.CASCADE)
    reader = models.EmailField()
    due = models.DateTimeField()
    is_confirmed = models.BooleanField(default=False)
    reminders = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.book} to {self.reader}"
