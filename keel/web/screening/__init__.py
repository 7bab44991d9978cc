"""Enquiry, eligibility, consent, enrolment: the pages before a course begins."""
