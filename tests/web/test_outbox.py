"""What was entered on a device is in the record once and in order, or still on the device and shown."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.web import gallery

pytestmark = pytest.mark.browser


@dataclass
class Record:
    """The server's side: what it holds, and how it behaves just now."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    posts: int = 0
    mood: str = "well"
    refuses: str = "refuse me"
    no: int = 409
    forms: list[str] = field(default_factory=list)

    def ids(self) -> list[str]:
        return [entry["id"] for entry in self.entries]

    def take(self, entry: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
        self.posts += 1
        if self.mood == "signed-out":
            return 403, {"detail": "sign in"}
        if self.mood == "trouble":
            return 503, None
        if self.mood == "hotel":
            return 200, {"hello": "guest"}
        value = entry["payload"].get("value") if isinstance(entry["payload"], dict) else entry["payload"]
        if value == self.refuses:
            reasons = [{"what": "The note was not recorded", "why": "the session is closed", "mend": "Reopen it"}]
            return self.no, {"status": "refused", "reasons": reasons}
        status = "already" if entry["id"] in self.ids() else "recorded"
        if status == "recorded":
            self.entries.append(entry)
        return 200, {"status": status, "id": entry["id"]}


def handler_for(record: Record) -> type[gallery.Handler]:
    class Handler(gallery.Handler):
        def translate_path(self, path: str) -> str:
            return super().translate_path("/static/keel/sw.js" if path == "/sw.js" else path)

        def end_headers(self) -> None:
            if self.path.endswith(".html"):
                self.send_header("Keel-Keep", "yes")
            super().end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if "json" not in self.headers["Content-Type"]:
                record.forms.append(body.decode())
                status, answer = 200, {}
            else:
                lost = record.mood == "lose-reply"
                status, answer = record.take(json.loads(body))
                if lost:
                    self.close_connection = True
                    self.connection.close()
                    return
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode() if answer is not None else b"trouble")

    return Handler


@pytest.fixture(scope="module")
def play() -> Iterator[Any]:
    with gallery.playwright() as play:
        yield play


@pytest.fixture(scope="module")
def browser(play: Any) -> Iterator[Any]:
    browser = gallery.launch(play.chromium.launch)
    yield browser
    browser.close()


@pytest.fixture
def record() -> Record:
    return Record()


@pytest.fixture
def site(record: Record, tmp_path: Path) -> Iterator[str]:
    gallery.write(tmp_path, worker="/sw.js")
    (tmp_path / "bare.html").write_text("<!doctype html><title>Bare</title><p>Nothing runs here by itself.</p>")
    with gallery.serving(tmp_path, handler_for(record)) as address:
        yield address


@pytest.fixture
def device(browser: Any, site: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(8_000)
    yield context
    context.close()


OPEN = """async (owner) => {
  const { Outbox, uuid7 } = await import("/static/keel/outbox.js");
  window.uuid7 = uuid7;
  window.box = await Outbox.open({ url: "/answers", owner });
}"""
PUT = "(payload) => box.put({ kind: 'noted', course: 'S-1', payload })"


def open_box(device: Any, site: str, owner: str = "ada") -> Any:
    page = device.new_page()
    page.goto(f"{site}/bare.html")
    page.evaluate(OPEN, owner)
    return page


def until(page: Any, test: str, before: str = "") -> None:
    """Wait, bounded, until `test` holds of the outbox's standing `s`. (wait_for_function does not await promises.)"""
    loop = f"""async () => {{
      for (let n = 0; n < 80; n++) {{
        {before}
        const s = await box.standing();
        if ({test}) return true;
        await new Promise((done) => setTimeout(done, 100));
      }}
      return JSON.stringify(await box.standing());
    }}"""
    assert page.evaluate(loop) is True, test


def until_sent(page: Any) -> None:
    until(page, "s.waiting === 0", before="await box.send();")


def payloads(record: Record) -> list[Any]:
    return [entry["payload"] for entry in record.entries]


def test_entries_reach_the_record_in_order_with_all_they_carry(device: Any, site: str, record: Record) -> None:
    page = open_box(device, site)
    ids = page.evaluate(
        "(all) => Promise.all(all.map((payload) => box.put({ kind: 'noted', course: 'S-1', payload })))", [1, 2, 3]
    )
    until_sent(page)
    assert record.ids() == ids
    assert payloads(record) == [1, 2, 3]
    assert set(record.entries[0]) == {"id", "kind", "course", "occurred_at", "payload"}
    assert page.evaluate("box.standing()")["recorded_at"] is not None


def test_entries_made_without_a_network_survive_a_reload(device: Any, site: str, record: Record) -> None:
    page = open_box(device, site)
    device.set_offline(True)
    ids = [page.evaluate(PUT, text) for text in ("one", "two", "three")]
    assert page.evaluate("box.standing()")["hold"] == "away"
    page.close()
    device.set_offline(False)
    record.mood = "trouble"
    page = open_box(device, site)
    assert [entry["id"] for entry in page.evaluate("box.entries()")] == ids
    record.mood = "well"
    until_sent(page)
    assert record.ids() == ids


def test_a_lost_reply_leads_to_no_second_entry(device: Any, site: str, record: Record) -> None:
    record.mood = "lose-reply"
    page = open_box(device, site)
    ids = [page.evaluate(PUT, n) for n in range(3)]
    until(page, "s.hold === 'away'")
    record.mood = "well"
    until_sent(page)
    assert record.ids() == ids
    assert record.posts > len(ids)


@pytest.mark.parametrize(("mood", "hold"), [("signed-out", "sign_in"), ("trouble", "trouble"), ("hotel", "trouble")])
def test_what_the_server_cannot_take_now_is_kept_and_shown(
    device: Any, site: str, record: Record, mood: str, hold: str
) -> None:
    record.mood = mood
    page = open_box(device, site)
    page.evaluate(PUT, "kept")
    until(page, f"s.waiting === 1 && s.hold === '{hold}'")
    assert record.entries == []
    record.mood = "well"
    until_sent(page)
    assert payloads(record) == ["kept"]


@pytest.mark.parametrize("status", [409, 403, 422])
def test_a_refusal_stays_until_a_person_settles_it_and_holds_nothing_up(
    device: Any, site: str, record: Record, status: int
) -> None:
    record.no = status
    page = open_box(device, site)
    for text in ("before", "refuse me", "after"):
        page.evaluate(PUT, text)
    until(page, "s.refused === 1 && s.waiting === 0")
    assert payloads(record) == ["before", "after"]
    page.reload()
    page.evaluate(OPEN, "ada")
    (held,) = page.evaluate("box.entries()")
    assert held["state"] == "refused"
    assert held["reasons"][0]["why"] == "the session is closed"
    page.evaluate("(id) => box.settle(id)", held["id"])
    assert page.evaluate("box.entries()") == []


def test_nobody_sends_what_somebody_else_entered(device: Any, site: str, record: Record) -> None:
    record.mood = "signed-out"
    ada = open_box(device, site, "ada")
    ada.evaluate(PUT, "from ada")
    until(ada, "s.waiting === 1 && s.hold === 'sign_in'")  # the refused sending is over, none is on its way
    ada.close()
    record.mood = "well"
    ben = open_box(device, site, "ben")
    ben.evaluate(PUT, "from ben")
    until_sent(ben)
    assert payloads(record) == ["from ben"]
    assert ben.evaluate("box.standing()")["others"] == 1
    until_sent(open_box(device, site, "ada"))
    assert payloads(record) == ["from ben", "from ada"]


def test_two_tabs_send_each_entry_once(device: Any, site: str, record: Record) -> None:
    tabs = [open_box(device, site) for _ in range(2)]
    for n in range(6):
        tabs[n % 2].evaluate(PUT, n)
    for tab in tabs:
        until_sent(tab)
    assert payloads(record) == list(range(6))
    assert record.posts == 6


def test_entries_lie_sealed_on_the_device(device: Any, site: str, record: Record) -> None:
    record.mood = "signed-out"
    page = open_box(device, site)
    page.evaluate(PUT, "a private sentence")
    page.evaluate("box.keep('draft', 'another private sentence')")
    stored = page.evaluate("""async () => {
      const ask = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
      const db = await ask(indexedDB.open("keel"));
      const all = async (name) => ask(db.transaction(name).objectStore(name).getAll());
      const words = (row) => JSON.stringify(row) + new TextDecoder().decode(row.sealed);
      const rows = [...(await all("entries")), ...(await all("drafts"))];
      return { words: rows.map(words).join(), extractable: (await all("keys"))[0].extractable };
    }""")
    assert "private" not in stored["words"]
    assert "S-1" not in stored["words"]
    assert stored["extractable"] is False
    assert page.evaluate("box.kept('draft')") == "another private sentence"


def test_an_entry_whose_key_is_gone_is_shown_and_not_dropped(device: Any, site: str, record: Record) -> None:
    record.mood = "signed-out"
    page = open_box(device, site)
    page.evaluate(PUT, "sealed with the old key")
    until(page, "s.waiting === 1 && s.hold === 'sign_in'")  # the refused sending is over, none is on its way
    page.evaluate("""async () => {
      const ask = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
      const db = await ask(indexedDB.open("keel"));
      await ask(db.transaction("keys", "readwrite").objectStore("keys").clear());
    }""")
    record.mood = "well"
    page.reload()
    page.evaluate(OPEN, "ada")
    until(page, "s.refused === 1")
    (held,) = page.evaluate("box.entries()")
    assert "cannot be read" in held["reasons"][0]["what"]
    assert record.entries == []


def test_ids_are_version_seven_and_sort_in_the_order_of_making(device: Any, site: str) -> None:
    page = open_box(device, site)
    made = page.evaluate("Array.from({ length: 9000 }, () => uuid7(1_700_000_000_000))")
    made += page.evaluate("Array.from({ length: 50 }, () => uuid7(1_600_000_000_000))")
    assert made == sorted(set(made))
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one) for one in made
    )


@pytest.mark.parametrize("seed", [7, 11, 2026])
def test_a_small_storm_loses_nothing_and_doubles_nothing(device: Any, site: str, record: Record, seed: int) -> None:
    """Acknowledged on the device means once in the record, in order, or still in the outbox and shown."""
    dice = random.Random(seed)
    page = open_box(device, site)
    acknowledged: list[str] = []
    for n in range(25):
        match dice.choice(["put", "put", "put", "mood", "reload", "cut", "back"]):
            case "put":
                acknowledged.append(page.evaluate(PUT, n))
            case "mood":
                record.mood = dice.choice(["well", "lose-reply", "trouble", "signed-out", "hotel"])
            case "cut":
                device.set_offline(True)
            case "back":
                device.set_offline(False)
            case "reload":
                device.set_offline(False)
                page.reload()
                page.evaluate(OPEN, "ada")
        held = [entry["id"] for entry in page.evaluate("box.entries()")]
        assert set(acknowledged) <= set(record.ids()) | set(held), f"seed {seed}"
    device.set_offline(False)
    record.mood = "well"
    until_sent(page)
    assert record.ids() == acknowledged, f"seed {seed}"


def kill_browser_of(folder: Path) -> int:
    """End the browser that uses this profile, and only that, without letting it say goodbye; gives how many died."""
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if f"--user-data-dir={folder}".encode() in command and b"--type=" not in command:
            os.kill(int(process.name), signal.SIGKILL)
            killed += 1
    return killed


def test_entries_survive_the_death_of_the_browser(play: Any, site: str, record: Record, tmp_path: Path) -> None:
    """What put() acknowledged is on the disk: the browser is killed right after, and a new one sends it."""
    profile = tmp_path / "profile"
    record.mood = "signed-out"
    context = gallery.launch(play.chromium.launch_persistent_context, user_data_dir=profile)
    page = open_box(context, site)
    ids = [page.evaluate(PUT, n) for n in range(5)]
    assert kill_browser_of(profile) >= 1
    with suppress(Exception):
        context.close()
    record.mood = "well"
    for lock in profile.glob("Singleton*"):
        lock.unlink()
    context = gallery.launch(play.chromium.launch_persistent_context, user_data_dir=profile)
    until_sent(open_box(context, site))
    context.close()
    assert record.ids() == ids


def question(page: Any) -> str:
    return str(page.locator("fieldset[data-item]:visible legend").inner_text())


def open_form(device: Any, site: str) -> Any:
    page = device.new_page()
    page.goto(f"{site}/pocket_question.html")
    page.locator("form[data-ready]").wait_for()
    return page


def test_a_questionnaire_goes_on_where_it_stopped_without_a_network(device: Any, site: str, record: Record) -> None:
    page = open_form(device, site)
    page.evaluate("navigator.serviceWorker.ready")
    page.reload()
    page.locator("form[data-ready]").wait_for()
    page.get_by_role("radio", name="On several days").check()
    page.get_by_role("button", name="Save and go on").click()
    assert "two" in question(page)
    device.set_offline(True)
    page.get_by_role("radio", name="Nearly every day").check()
    page.get_by_text("saved on this device").wait_for()
    page.reload()
    page.locator("form[data-ready]").wait_for()
    assert "two" in question(page)
    assert page.get_by_role("radio", name="Nearly every day").is_checked()
    assert "Question 2 of 5" in page.locator("[data-how-far]").inner_text()
    page.get_by_role("button", name="Save and go on").click()
    assert "some difficulty" in question(page)
    page.get_by_role("button", name="Save and go on").click()
    page.get_by_text("You have not answered this one").wait_for()
    page.get_by_role("button", name="Leave it out").click()
    page.get_by_role("slider").fill("62")
    page.get_by_role("button", name="Save and go on").click()
    page.get_by_role("textbox").fill("Some words")
    page.get_by_role("button", name="Finish and send").click()
    page.get_by_text("Your answers are safe on this device").wait_for()
    device.set_offline(False)
    page.get_by_text("Your answers have reached your team").wait_for()
    said = [(e["kind"], e["payload"].get("item"), e["payload"].get("value")) for e in record.entries]
    assert said == [
        ("answer_given", "1", "1"),
        ("answer_given", "2", "3"),
        ("answer_given", "3", None),
        ("answer_given", "4", "62"),
        ("answer_given", "5", "Some words"),
        ("response_finished", None, None),
    ]
    assert len(set(record.ids())) == 6


def test_all_questions_stand_on_one_page_where_the_screen_is_wide_and_the_person_wants_it(
    device: Any, site: str, record: Record
) -> None:
    page = open_form(device, site)
    assert not page.locator("[data-matrix-switch]").is_visible()  # a phone asks one at a time
    page.set_viewport_size({"width": 1024, "height": 768})
    page.get_by_role("button", name="All questions on one page").click()
    shown = page.locator("fieldset[data-item]:visible")
    assert shown.count() == 4  # the one that hangs on another answer waits for it
    cells = shown.nth(1).locator(".choice")
    assert len({round(cells.nth(n).bounding_box()["y"]) for n in range(4)}) == 1  # a row across
    cells.nth(2).click()
    page.get_by_text("1 of 5 answered").wait_for()
    assert shown.count() == 5
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_text("Question 2 of 5").wait_for()
    page.set_viewport_size({"width": 1024, "height": 768})
    page.get_by_text("1 of 5 answered").wait_for()
    page.get_by_role("textbox").fill("Some words")
    page.get_by_role("button", name="Finish and send").click()
    page.get_by_text("3 questions have no answer yet.").wait_for()
    shown.nth(0).locator(".choice").nth(1).click()
    page.get_by_role("button", name="Finish and send").click()
    page.get_by_text("2 questions have no answer yet.").wait_for()
    page.get_by_role("button", name="Leave out and finish").click()
    page.get_by_text("Your answers have reached your team").wait_for()
    said = [(e["payload"].get("item"), e["payload"].get("value")) for e in record.entries]
    assert sorted(said[:3]) == [("1", "1"), ("2", "2"), ("5", "Some words")]
    assert said[3:] == [("3", None), ("4", None), (None, None)]


def test_an_item_that_does_not_apply_is_not_asked(device: Any, site: str, record: Record) -> None:
    page = open_form(device, site)
    assert "of at most 5" in page.locator("[data-how-far]").inner_text()
    for _ in range(2):
        page.get_by_role("radio", name="Not at all").check()
        page.get_by_role("button", name="Save and go on").click()
    assert "How are you today" in question(page)
    assert "Question 3 of 4" in page.locator("[data-how-far]").inner_text()
    page.get_by_role("button", name="Back").click()
    assert "two" in question(page)


def test_a_refusal_is_shown_with_its_reason_until_the_person_removes_it(device: Any, site: str, record: Record) -> None:
    record.refuses = "2"
    page = open_form(device, site)
    page.get_by_role("radio", name="On more than half the days").check()
    page.get_by_text("The note was not recorded: the session is closed. Reopen it.").wait_for()
    page.get_by_text("Something was not taken: see below.").wait_for()
    page.get_by_role("button", name="Remove it from this device").click()
    page.get_by_text("The note was not recorded").wait_for(state="detached")


def test_help_is_in_reach_on_every_question(device: Any, site: str) -> None:
    page = open_form(device, site)
    page.get_by_role("radio", name="Not at all").check()
    page.get_by_role("button", name="Save and go on").click()
    page.mouse.wheel(0, 2000)
    box = page.get_by_role("link", name="Help now").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] < 120
    assert box["height"] >= 48


def test_without_scripts_the_same_form_is_posted_item_by_item(browser: Any, site: str, record: Record) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/pocket_question.html")
    page.get_by_role("radio", name="On several days").check()
    page.get_by_role("button", name="Save and go on").click()
    page.wait_for_url("**/answers")
    context.close()
    (sent,) = record.forms
    assert "item_1=1" in sent
    assert "step=next" in sent
    assert "item_2" not in sent
