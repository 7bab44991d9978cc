"""Every page: one line each. The access test walks this table, so a new page cannot be forgotten."""

from allauth.account import views as allauth
from django.urls import URLPattern, URLResolver, include, path

from keel.web.account import acting
from keel.web.layout import home

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    # ---- signing in ----
    path("account/login/", allauth.login, name="account_login"),
    path("account/logout/", allauth.logout, name="account_logout"),
    path("account/reauthenticate/", allauth.reauthenticate, name="account_reauthenticate"),
    path("account/password/change/", allauth.password_change, name="account_change_password"),
    path("account/2fa/", include("allauth.mfa.urls")),
    path("account/acting/", acting.choose, name="acting"),
]

handler404 = "keel.web.layout.errors.not_found"
handler500 = "keel.web.layout.errors.failed"
