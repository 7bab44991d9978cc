"""Consent to a document: what it says, whether it was understood, and when it may be signed.

A document is data: sections in plain words, questions that show whether they were understood, and the rule for
passing. It is signed by the participant after passing, then countersigned; it can be withdrawn at any time.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keel.domain.course import Consent
from keel.domain.errors import Reason, Refused, refuse

_KEYS = {"version", "title", "language", "template", "required", "most_wrong", "notice", "sections", "questions"}


@dataclass(frozen=True)
class Section:
    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """One comprehension question: the `choices` in order, the `right` one, and what a wrong answer is told."""

    id: str
    ask: str
    choices: tuple[str, ...]
    right: str
    explain: str


@dataclass(frozen=True)
class Document:
    """A consent document. `required`: without it nobody is enrolled. `most_wrong`: how many answers may be wrong.

    `template` marks wording of ours that a site adapts and has approved by its ethics committee before use.
    """

    id: str
    version: int
    title: str
    language: str
    template: bool
    required: bool
    most_wrong: int
    notice: str
    sections: tuple[Section, ...]
    questions: tuple[Question, ...]

    @classmethod
    def from_table(cls, id: str, table: Mapping[str, Any], place: str) -> Document:
        """Read a parsed TOML file; refuses with every error at once."""
        reasons = list(_errors(table, place))
        if reasons:
            raise Refused(reasons)
        return cls(
            id=id,
            version=table["version"],
            title=table["title"],
            language=table["language"],
            template=table["template"],
            required=table["required"],
            most_wrong=table["most_wrong"],
            notice=table.get("notice", ""),
            sections=tuple(Section(s["title"], _paragraphs(s["text"])) for s in table["sections"]),
            questions=tuple(
                Question(q["id"], q["ask"], tuple(q["choices"]), q["right"], q["explain"])
                for q in table.get("questions", ())
            ),
        )

    def question(self, id: str) -> Question | None:
        return next((q for q in self.questions if q.id == id), None)

    def unanswered(self, answers: Mapping[str, Any]) -> tuple[Question, ...]:
        """The questions still to be answered, in their order."""
        return tuple(q for q in self.questions if q.id not in answers)

    def wrong(self, answers: Mapping[str, Any]) -> tuple[Question, ...]:
        """The questions whose last answer was not the right one."""
        return tuple(q for q in self.questions if q.id in answers and answers[q.id] != q.right)

    def passes(self, answers: Mapping[str, Any]) -> bool:
        """Every question answered, and no more of them wrong than the document allows."""
        return not self.unanswered(answers) and len(self.wrong(answers)) <= self.most_wrong


def _paragraphs(text: str) -> tuple[str, ...]:
    return tuple(" ".join(block.split()) for block in text.split("\n\n") if block.strip())


def _errors(table: Mapping[str, Any], place: str) -> list[Reason]:
    def bad(what: str, why: str, mend: str) -> Reason:
        return Reason(what, why, mend, where=place, code="bad-document")

    found = [bad(f"`{key}` is not a key of a document", "nothing reads it", "Remove it") for key in set(table) - _KEYS]
    kinds = {"title": str, "language": str, "template": bool, "required": bool, "most_wrong": int, "sections": list}
    for key, kind in kinds.items():
        if not isinstance(table.get(key), kind):
            found.append(bad(f"`{key}` is missing or of another kind", "a document needs it", f"Give `{key}`"))
    if found:
        return found
    for section in table["sections"]:
        if not (section.get("title") and section.get("text")):
            found.append(bad("A section is empty", "it has no title or no text", "Give both"))
    for question in table.get("questions", ()):
        name = question.get("id", "?")
        if not all(question.get(key) for key in ("id", "ask", "choices", "right", "explain")):
            found.append(
                bad(f"Question {name!r} is not whole", "it needs id, ask, choices, right, explain", "Add them")
            )
        elif question["right"] not in question["choices"]:
            found.append(bad(f"Question {name!r} cannot be passed", "its right answer is no choice", "Make them equal"))
    return found


# ---- what may happen ------------------------------------------------------------------------------------


def offered(consents: Mapping[str, Consent], document: str, what: str) -> Consent:
    """Where consent to a document stands; refused when it was never offered."""
    if document not in consents:
        raise refuse(
            what, f"the document {document!r} was not offered in this course", "Offer it first", where=document
        )
    return consents[document]


def check_answers(document: Document, consent: Consent, given: Mapping[str, str]) -> dict[str, Any]:
    """All answers so far with the new ones; refused for a question or choice that the document does not have."""
    what = "The answers were not taken"
    if consent.signed_at and not consent.withdrawn_at:
        raise refuse(what, "the document is signed already", "Nothing more is needed", code="already-signed")
    if not given:
        raise refuse(what, "there is none among them", "Answer at least one question")
    for id, choice in given.items():
        question = document.question(id)
        if question is None:
            known = ", ".join(q.id for q in document.questions)
            raise refuse(what, f"the document has no question {id!r}", f"Its questions are: {known}", where=id)
        if choice not in question.choices:
            raise refuse(what, f"{choice!r} is no answer to it", "Choose one of the answers shown", where=id)
    return {**consent.answers, **given}


def check_sign(consent: Consent, document: Document, typed: str, name: str) -> None:
    """Whether the participant may sign now, with the name as typed."""
    what = "The document was not signed"
    if consent.withdrawn_at:
        raise refuse(what, "consent to it was withdrawn", "It must be offered again first", code="withdrawn")
    if consent.signed_at:
        raise refuse(what, "it is signed already", "Nothing more is needed", code="already-signed")
    if document.questions and not consent.passed:
        raise refuse(
            what, "the questions about it are not all answered rightly", "Answer them first", code="not-passed"
        )
    if plain_name(typed) != plain_name(name):
        raise refuse(
            what,
            "the name typed is not the name we know you by",
            "Type your first and last name as the team wrote it down, or ask them to correct it",
            where="name",
            code="another-name",
        )


def check_countersign(consent: Consent) -> None:
    what = "The document was not countersigned"
    if consent.withdrawn_at:
        raise refuse(what, "consent to it was withdrawn", "It must be offered and signed again", code="withdrawn")
    if not consent.signed_at:
        raise refuse(what, "the participant has not signed it", "The participant signs first", code="not-signed")
    if consent.countersigned_at:
        raise refuse(what, "it is countersigned already", "Nothing more is needed", code="already-signed")


def check_withdraw(consent: Consent) -> None:
    if consent.withdrawn_at:
        raise refuse(
            "Consent was not withdrawn", "it is withdrawn already", "Nothing more is needed", code="already-withdrawn"
        )


def plain_name(name: str) -> str:
    """A name for comparing: without case, accents, hyphens and extra spaces."""
    bare = unicodedata.normalize("NFKD", name.casefold().replace("-", " ").replace("’", "'"))
    return " ".join("".join(c for c in bare if not unicodedata.combining(c)).split())
