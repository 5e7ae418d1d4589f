"""The library's addresses."""

from django.contrib import admin
from django.urls import path

from library.views import lend, show

urlpatterns = [
    path("admin/", admin.site.urls),
    path("loans", lend),
    path("loans/<int:loan>", show),
]
