"""Every page: one line each. The access test walks this table, so a new page cannot be forgotten."""

from allauth.account import views as allauth
from django.urls import URLPattern, URLResolver, include, path

from keel.web.account import acting
from keel.web.course import chart, visit
from keel.web.layout import home
from keel.web.study import study
from keel.web.team import caseload

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    # ---- the team ----
    path("caseload/", caseload.caseload, name="caseload"),
    path("calendar/", caseload.calendar, name="calendar"),
    path("team/", caseload.people, name="team"),
    path("studies/", study.index, name="study_index"),
    path("study/<str:study>/", study.study, name="study"),
    # ---- one course ----
    path("course/<str:course>/", chart.show, name="chart"),
    path("course/<str:course>/journal/", chart.journal, name="course_journal"),
    path("course/<str:course>/visit/<str:visit>/", visit.visit, name="visit"),
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
