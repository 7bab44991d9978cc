"""Every page: one line each. The access test walks this table, so a new page cannot be forgotten."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
