"""Every page: one line each. The access test walks this table, so a new page cannot be forgotten."""

from allauth.account import views as allauth
from django.urls import URLPattern, URLResolver, include, path

from keel.web.account import acting
from keel.web.assessment import responses
from keel.web.cohort import cohorts
from keel.web.course import chart, visit
from keel.web.dosing import after, board, day
from keel.web.follow_up import ending
from keel.web.insight import published, reports
from keel.web.integration import integration
from keel.web.layout import home, worker
from keel.web.participant import access, link, me, questions
from keel.web.preparation import preparation
from keel.web.safety import adverse_events, concern, inbox, medications, overview
from keel.web.screening import consent, enquiry, enrolment, facts, my_consent, sheet
from keel.web.study import study
from keel.web.team import caseload, on_call

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home.home, name="home"),
    # ---- the team ----
    path("caseload/", caseload.caseload, name="caseload"),
    path("calendar/", caseload.calendar, name="calendar"),
    path("cohorts/", cohorts.show, name="cohorts"),
    path("team/", caseload.people, name="team"),
    path("team/on-call/", on_call.show, name="on_call"),
    path("studies/", study.index, name="study_index"),
    path("study/<str:study>/", study.study, name="study"),
    # ---- insight ----
    path("insight/", reports.index, name="insight"),
    path("insight/published/", published.show, name="published"),
    path("insight/published/numbers.json", published.numbers, name="published_numbers"),
    path("insight/published/data.csv", published.data, name="published_data"),
    path("insight/published/comparisons.csv", published.comparisons, name="published_comparisons"),
    path("insight/<str:study>/dataset.zip", reports.data, name="insight_data"),
    path("insight/<str:study>/<str:asked>/", reports.report, name="insight_report"),
    path("insight/<str:study>/<str:asked>/stop/", reports.stop, name="insight_stop"),
    path("insight/<str:study>/<str:asked>/report.pdf", reports.paper, name="insight_paper"),
    path("insight/<str:study>/<str:asked>/folder.zip", reports.folder, name="insight_folder"),
    path("study/<str:study>/safety/", overview.of_study, name="study_safety"),
    # ---- one course ----
    path("course/<str:course>/", chart.show, name="chart"),
    path("course/<str:course>/preparation/", preparation.show, name="preparation"),
    path("course/<str:course>/integration/", integration.show, name="integration"),
    path("course/<str:course>/adverse-events/", adverse_events.show, name="adverse_events"),
    path("course/<str:course>/medications/", medications.show, name="medications"),
    path("course/<str:course>/safety/", overview.of_course, name="course_safety"),
    path("course/<str:course>/end/", ending.show, name="ending"),
    path("course/<str:course>/journal/", chart.journal, name="course_journal"),
    path("course/<str:course>/visit/<str:visit>/", visit.visit, name="visit"),
    path("course/<str:course>/questionnaires/", responses.listing, name="responses"),
    path("course/<str:course>/questionnaires/<str:response>/", responses.one, name="response"),
    path("course/<str:course>/questionnaires/<str:response>/again/", responses.again, name="rate_again"),
    path("course/<str:course>/visit/<str:visit>/enter/<str:instrument>/", responses.enter, name="enter"),
    path("course/<str:course>/link/", access.links, name="links"),
    path("course/<str:course>/erase/", access.erase, name="erase"),
    # ---- what waits for somebody ----
    path("ratings/", responses.ratings, name="ratings"),
    path("ratings/agreement/", responses.agreement, name="agreement"),
    path("questionnaires/", responses.shelf, name="shelf"),
    path("alerts/", inbox.inbox, name="alerts"),
    # ---- screening and consent ----
    path("courses/new/", enquiry.new, name="enquiry"),
    path("course/<str:course>/pre-screen/", enquiry.pre_screen, name="pre_screen"),
    path("course/<str:course>/screening/", sheet.sheet, name="screening"),
    path("course/<str:course>/screening/end/", sheet.end, name="screening_end"),
    path("course/<str:course>/facts/", facts.facts, name="facts"),
    path("course/<str:course>/consent/", consent.consent, name="consent"),
    path("course/<str:course>/consent/<str:document>/paper.pdf", consent.paper, name="consent_paper"),
    path("course/<str:course>/enrolment/", enrolment.enrolment, name="enrolment"),
    path("me/consent/", my_consent.index, name="my_consents"),
    path("me/consent/<str:document>/", my_consent.document, name="my_consent"),
    path("me/consent/<str:document>/paper.pdf", my_consent.paper, name="my_consent_paper"),
    # ---- the dosing day ----
    path("course/<str:course>/dosing/", day.day, name="dosing"),
    path("session/<str:session>/", board.board, name="board"),
    path("session/<str:session>/entries/", board.write, name="board_entries"),
    path("session/<str:session>/tail/", board.tail, name="board_tail"),
    path("session/<str:session>/emergency/<str:course>/", after.emergency, name="emergency_sheet"),
    path("session/<str:session>/report/<str:course>/", after.report, name="session_report"),
    path("session/<str:session>/setting/", after.setting, name="respct"),
    # ---- signing in ----
    path("account/login/", allauth.login, name="account_login"),
    path("account/logout/", allauth.logout, name="account_logout"),
    path("account/reauthenticate/", allauth.reauthenticate, name="account_reauthenticate"),
    path("account/password/change/", allauth.password_change, name="account_change_password"),
    path("account/2fa/", include("allauth.mfa.urls")),
    path("account/acting/", acting.choose, name="acting"),
    # ---- the participant ----
    path("p/<str:secret>/", link.open_, name="open_link"),
    path("link-over", link.over, name="link_over"),
    path("concern/", concern.concern, name="concern"),
    path("help-now", me.help_now, name="help_now"),
    path("me/", me.today, name="me"),
    path("me/course/", me.course, name="my_course"),
    path("me/journal/", me.journal, name="my_journal"),
    path("me/help/", me.call, name="call_for_help"),
    path("me/tell/", adverse_events.tell, name="my_events"),
    path("me/q/", questions.begin, name="my_questions_begin"),
    path("me/q/<str:response>/", questions.questions, name="my_questions"),
    path("me/outbox/", questions.outbox, name="my_outbox"),
    path("sw.js", worker.worker, name="worker"),
]

handler404 = "keel.web.layout.errors.not_found"
handler500 = "keel.web.layout.errors.failed"
