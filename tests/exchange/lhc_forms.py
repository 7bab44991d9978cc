"""A Questionnaire in NLM's LHC-Forms, in a real browser and without a network: is it drawn, and what does it score?

Answers are put in as first answers of the form. A form that is opened with an earlier response keeps that response's
scores, by design, and would compute nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.exchange.node import LHC_FORMS_PLACE
from tests.web import gallery

ADDRESS = "http://lhc-forms.test/"
SCRIPTS = ("assets/lib/zone.min.js", "runtime.js", "polyfills.js", "main.js")
PAGE = "".join(
    [
        "<!doctype html><html><meta charset=utf-8><body><div id=form></div>",
        *(f'<script src="/webcomponent/{name}"></script>' for name in SCRIPTS),
        '<script src="/fhir/R4/lformsFHIR.min.js"></script></body></html>',
    ]
)
DRAW = """async (questionnaire) => {
  const place = document.getElementById("form");
  place.innerHTML = "";
  await LForms.Util.addFormToPage(questionnaire, "form", { fhirVersion: "R4" });
  const shown = [...place.querySelectorAll("lhc-item-question")].length;
  return { shown, response: LForms.Util.getFormFHIRData("QuestionnaireResponse", "R4") };
}"""


@dataclass
class LhcForms:
    """The page with LHC-Forms on it; `outside` is what it asked of the network."""

    page: Any
    outside: list[str] = field(default_factory=list)

    def drawn(self, questionnaire: dict[str, Any], response: dict[str, Any]) -> tuple[int, dict[str, list[Any]]]:
        """How many questions are on the screen, and every answer by linkId, the computed ones among them."""
        found = self.page.evaluate(DRAW, answered(questionnaire, response))
        return found["shown"], dict(_answers(found["response"].get("item", [])))


@contextmanager
def lhc_forms() -> Iterator[LhcForms]:
    with gallery.chromium() as browser:
        page = browser.new_page()
        forms = LhcForms(page)

        def serve(route: Any) -> None:
            url = route.request.url
            file = LHC_FORMS_PLACE / url.removeprefix(ADDRESS)
            if url == ADDRESS:
                route.fulfill(body=PAGE, content_type="text/html")
            elif url.startswith(ADDRESS) and file.is_file():
                route.fulfill(path=file)
            else:
                forms.outside.append(url)
                route.abort()

        page.route("**/*", serve)
        page.goto(ADDRESS)
        page.wait_for_function("() => Boolean(window.LForms && LForms.Util && LForms.FHIR)")
        yield forms


def answered(questionnaire: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """The questionnaire with the answers of a response as its first answers."""
    out = copy.deepcopy(questionnaire)
    given = dict(_answers(response.get("item", []), whole=True))
    for item in _walk(out["item"]):
        answers = given.get(item["linkId"], [])
        picked = {answer["valueCoding"]["code"] for answer in answers if "valueCoding" in answer}
        for option in item.get("answerOption", []):
            if option["valueCoding"]["code"] in picked:
                option["initialSelected"] = True
        if answers and not picked:
            item["initial"] = answers
    return out


def _walk(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        yield item
        yield from _walk(item.get("item", []))


def _answers(items: list[dict[str, Any]], *, whole: bool = False) -> Iterator[tuple[str, list[Any]]]:
    for item in _walk(items):
        found = [
            {key: value} if whole else value
            for answer in item.get("answer", [])
            for key, value in answer.items()
            if key.startswith("value")
        ]
        if found:
            yield item["linkId"], found
