"""Every instrument of the contract scored a third time, by hand: plain Python written from the published keys, with
nothing of the shelf and nothing of the engines. `None` is a blank or a score that cannot be given.

`BY_HAND[id](items, context)` takes what `keel score --batch` takes and gives every score that others read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Scores = dict[str, Any]
ByHand = Callable[[Any, Mapping[str, Any]], Scores]
BY_HAND: dict[str, ByHand] = {}


def by_hand(*ids: str) -> Callable[[ByHand], ByHand]:
    def keep(function: ByHand) -> ByHand:
        BY_HAND.update(dict.fromkeys(ids, function))
        return function

    return keep


def at(items: Sequence[Any], numbers: str) -> list[Any]:
    """The answers at printed numbers: "1 3 5-7"."""
    out: list[Any] = []
    for part in numbers.split():
        first, _, last = part.partition("-")
        out += items[int(first) - 1 : int(last or first)]
    return out


def total(answers: Iterable[Any]) -> Any:
    given = list(answers)
    return None if None in given else sum(given)


def mean(answers: Iterable[Any]) -> Any:
    given = list(answers)
    return None if None in given else sum(given) / len(given)


def pct(answers: Iterable[Any], most: int) -> Any:
    found = total(answers)
    return None if found is None else 100 * found / most


def turned(items: Sequence[Any], numbers: str, ends: int) -> list[Any]:
    """The items with those of `numbers` reversed: lowest and highest code together, less the answer."""
    which = {int(n) for n in numbers.split()}
    return [ends - x if n in which and x is not None else x for n, x in enumerate(items, 1)]


def prorated(answers: Sequence[Any], allow: int) -> Any:
    given = [x for x in answers if x is not None]
    if not given or len(answers) - len(given) > allow:
        return None
    return sum(given) * len(answers) / len(given)


def blanks(answers: Iterable[Any]) -> int:
    return sum(x is None for x in answers)


def band(value: Any, *steps: tuple[float, str]) -> Any:
    """The first band whose upper end is not passed."""
    return None if value is None else next(name for upper, name in steps if value <= upper)


def least(value: Any, cut: float) -> Any:
    return None if value is None else value >= cut


def most(value: Any, cut: float) -> Any:
    return None if value is None else value <= cut


def every(*parts: Any) -> Any:
    return False if False in parts else None if None in parts else True


def some(*parts: Any) -> Any:
    return True if True in parts else None if None in parts else False


def enough(answers: Iterable[Any], cut: int, needed: int) -> Any:
    """Do at least `needed` answers reach `cut`, whatever the blanks would have said?"""
    given = list(answers)
    sure = sum(x is not None and x >= cut for x in given)
    return True if sure >= needed else False if sure + blanks(given) < needed else None


def fall(base: Any, now: Any) -> Scores:
    """What is told of a fall from a baseline, when one is given; of a baseline of 0 nothing can be told."""
    if base is None:
        return {}
    if now is None or base == 0:
        return {"pct_reduction": None, "response": None}
    return {"pct_reduction": 100 * (base - now) / base, "response": 2 * (base - now) >= base}


DEPRESSION = ((4, "minimal"), (9, "mild"), (14, "moderate"), (19, "moderately severe"), (27, "severe"))


@by_hand("phq-9")
def phq9(items: Any, context: Any) -> Scores:
    nine = items[:9]

    def possible(fill: int) -> str:
        """The algorithm if every blank had been answered with `fill`."""
        full = [fill if x is None else x for x in nine]
        present = sum(x >= 2 for x in full[:8]) + (full[8] >= 1)
        core = full[0] >= 2 or full[1] >= 2
        return "major" if core and present >= 5 else "other" if core and present >= 2 else "none"

    found = total(nine)
    return {
        "total": found,
        "band": band(found, *DEPRESSION),
        "algorithm": possible(0) if possible(0) == possible(3) else None,
        "item9_flag": least(nine[8], 1),
        "n_missing": blanks(nine),
        "prorated_total": prorated(nine, 2),
    }


@by_hand("phq-8")
def phq8(items: Any, context: Any) -> Scores:
    return {"total": total(items), "band": band(total(items), *DEPRESSION)}


@by_hand("phq-2")
def phq2(items: Any, context: Any) -> Scores:
    return {"total": total(items), "positive": least(total(items), 3)}


@by_hand("gad-7")
def gad7(items: Any, context: Any) -> Scores:
    found = total(items)
    return {
        "total": found,
        "band": band(found, (4, "minimal"), (9, "mild"), (14, "moderate"), (21, "severe")),
        "positive": least(found, 10),
        "n_missing": blanks(items),
        "prorated_total": prorated(items, 2),
    }


@by_hand("qids-sr16")
def qids(items: Any, context: Any) -> Scores:
    def domain(numbers: str) -> Any:
        return max((x for x in at(items, numbers) if x is not None), default=None)

    sleep, eating, moving = domain("1-4"), domain("6-9"), domain("15 16")
    found = total([sleep, eating, moving, *at(items, "5 10-14")])
    return {
        "total": found,
        "sleep": sleep,
        "appetite_weight": eating,
        "psychomotor": moving,
        "band": band(found, (5, "none"), (10, "mild"), (15, "moderate"), (20, "severe"), (27, "very severe")),
        "remission": most(found, 5),
        "item12_flag": least(items[11], 1),
    }


@by_hand("madrs")
def madrs(items: Any, context: Any) -> Scores:
    found = total(items)
    return {
        "total": found,
        "band": band(found, (6, "normal"), (19, "mild"), (34, "moderate"), (60, "severe")),
        "remission_le10": most(found, 10),
        "remission_le12": most(found, 12),
        **fall(context.get("baseline_total"), found),
    }


@by_hand("grid-hamd-17")
def hamd(items: Any, context: Any) -> Scores:
    found = total(items)
    told = fall(context.get("baseline_total"), found)
    both = {"remission_griffiths2016": every(told["response"], most(found, 7))} if told else {}
    return {"total": found, "remission_le7": most(found, 7), **told, **both}


@by_hand("ham-a")
def hama(items: Any, context: Any) -> Scores:
    return {"total": total(items), "psychic": total(at(items, "1-6 14")), "somatic": total(at(items, "7-13"))}


@by_hand("bdi-ii")
def bdi(items: Any, context: Any) -> Scores:
    worth = {None: None, 0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3}
    found = total(worth[x] if n in (16, 18) else x for n, x in enumerate(items, 1))
    return {"total": found, "band": band(found, (13, "minimal"), (19, "mild"), (28, "moderate"), (63, "severe"))}


STATE, TRAIT = "1 2 5 8 10 11 15 16 19 20", "1 3 6 7 10 13 14 16 19"


@by_hand("stai-s")
def stai_state(items: Any, context: Any) -> Scores:
    scored = turned(items, STATE, 5)
    return {"total": total(scored), "prorated_total": prorated(scored, 2)}


@by_hand("stai-t")
def stai_trait(items: Any, context: Any) -> Scores:
    scored = turned(items, TRAIT, 5)
    return {"total": total(scored), "prorated_total": prorated(scored, 2)}


@by_hand("hads")
def hads(items: Any, context: Any) -> Scores:
    scored = turned(items, "2 4 6 7 12 14", 3) if context.get("coding") == "endorsement" else items
    anxiety, depression = total(scored[0::2]), total(scored[1::2])
    allow = 3 if context.get("missing_rule") == "half" else 1
    return {
        "anxiety": anxiety,
        "depression": depression,
        "total": total([anxiety, depression]),
        "anxiety_band": band(anxiety, (7, "normal"), (10, "borderline"), (21, "case")),
        "depression_prorated": prorated(scored[1::2], allow),
    }


@by_hand("zung-sds")
def zung(items: Any, context: Any) -> Scores:
    raw = total(turned(items, "2 5 6 11 12 14 16 17 18 20", 5))
    return {"raw": raw, "index": None if raw is None else raw * 1.25}


def clusters(severity: Sequence[Any]) -> Scores:
    return {
        "total": total(severity),
        "B": total(at(severity, "1-5")),
        "C": total(at(severity, "6 7")),
        "D": total(at(severity, "8-14")),
        "E": total(at(severity, "15-20")),
    }


def criteria_b_to_e(severity: Sequence[Any]) -> Any:
    return every(
        enough(at(severity, "1-5"), 2, 1),
        enough(at(severity, "6 7"), 2, 1),
        enough(at(severity, "8-14"), 2, 2),
        enough(at(severity, "15-20"), 2, 2),
    )


@by_hand("caps-5")
def caps(items: Any, context: Any) -> Scores:
    severity = items.get("severity") or [None] * 20
    distress = enough(items.get("G_items_23_25") or [None] * 3, 2, 1)
    dx = every(items.get("criterion_A"), criteria_b_to_e(severity), items.get("criterion_F"), distress)
    found = clusters(severity)
    now, base = found["total"], context.get("baseline_total")
    drop = None if base is None or now is None else base - now
    told = {"drop": drop, "mapp_responder_ge10": least(drop, 10), "reliable_change_13": least(drop, 13)}
    return {
        **found,
        "n_symptoms": None if None in severity else sum(x >= 2 for x in severity),
        "criterion_G": distress,
        "dx": dx,
        "dissociative_subtype": every(dx, enough(items.get("dissoc_29_30") or [None] * 2, 2, 1)),
        "clin_sig_le8": most(now, 8),
        "mapp_remission": every(None if dx is None else not dx, most(now, 11)),
        **({} if base is None else told),
    }


@by_hand("pcl-5")
def pcl(items: Any, context: Any) -> Scores:
    found, base = clusters(items), context.get("baseline_total")
    now = found["total"]
    told = {"reliable_change_15": None if now is None else base - now >= 15} if base is not None else {}
    return {
        **found,
        "n_missing": blanks(items),
        "cut31": least(now, 31),
        "cut33": least(now, 33),
        "provisional_dx": criteria_b_to_e(items),
        "clin_sig_le28": most(now, 28),
        **told,
    }


@by_hand("c-ssrs-screener")
def cssrs(items: Any, context: Any) -> Scores:
    q1, q2, q6, when = (items.get(name) for name in ("q1", "q2", "q6", "q6_when"))
    # Three to five are asked after a yes to two; after a no, what is absent was not asked and is no.
    q3, q4, q5 = (False if items.get(q) is None and q2 is False else items.get(q) for q in ("q3", "q4", "q5"))
    recent = every(q6, None if when is None else when == "past_3_months")
    high, moderate, low = some(q4, q5, recent), some(q3, q6), some(q1, q2)
    risk = "none"
    for met, name in ((high, "high"), (moderate, "moderate"), (low, "low")):
        if met is not False:
            risk = name if met else None
            break
    answered = None not in (q1, q2, q3, q4, q5, q6)
    return {"risk": risk, "complete": answered and (q6 is False or when is not None)}


@by_hand("sheehan-sds")
def sheehan(items: Any, context: Any) -> Scores:
    three = [None if n == 0 and context.get("work_not_applicable") else x for n, x in enumerate(items[:3])]
    away = 1 if context.get("work_not_applicable") else 0
    return {
        "total": total(three),
        "any_ge5": enough(three[away:], 5, 1),
        "n_missing": blanks(three[away:]),
    }


@by_hand("wsas")
def wsas(items: Any, context: Any) -> Scores:
    away = context.get("work_not_applicable") or items[0] == "not_applicable"
    return {"total": total(items[1:] if away else items), "max": 32 if away else 40}


@by_hand("who-5")
def who5(items: Any, context: Any) -> Scores:
    raw = total(items)
    return {"raw": raw, "percent": None if raw is None else 4 * raw, "low_le50": most(raw, 12.5)}


@by_hand("swls")
def swls(items: Any, context: Any) -> Scores:
    names = ("extremely dissatisfied", "dissatisfied", "slightly dissatisfied", "neutral",
             "slightly satisfied", "satisfied", "extremely satisfied")  # fmt: skip
    ends = (9, 14, 19, 20, 25, 30, 35)
    return {"total": total(items), "band": band(total(items), *zip(ends, names, strict=True))}


FULL = {None: None, 1: 0, 2: 1, 3: 2, 4: 3, 5: 4}
COLLAPSED = {None: None, 1: 0, 2: 1, 3: 1, 4: 2, 5: 2}


@by_hand("whodas-12")
def whodas12(items: Any, context: Any) -> Scores:
    simple = total(items)
    graded = [(FULL if n in (1, 3, 5, 6, 7, 9) else COLLAPSED)[x] for n, x in enumerate(items, 1)]
    return {
        "simple_0_48": None if simple is None else simple - 12,
        "simple_12_60": simple,
        "complex_0_100": pct(graded, 36),
        "n_missing": blanks(items),
    }


DOMAINS = {"D1": 6, "D2": 5, "D3": 4, "D4": 5, "D5": 8, "D6": 8}
FIVE_GRADES = [
    "1.1",
    "1.2",
    "1.3",
    "1.4",
    "2.1",
    "2.4",
    "2.5",
    "3.2",
    "4.4",
    "5.3",
    "5.6",
    "5.7",
    "5.8",
    "6.2",
    "6.4",
    "6.5",
    "6.7",
]


@by_hand("whodas-36")
def whodas36(items: Any, context: Any) -> Scores:
    numbers = [f"{d[1]}.{n}" for d, size in DOMAINS.items() for n in range(1, size + 1)]
    graded = [(FULL if n in FIVE_GRADES else COLLAPSED)[x] for n, x in zip(numbers, items, strict=True)]
    by_domain = {d: [g for n, g in zip(numbers, graded, strict=True) if n[0] == d[1]] for d in DOMAINS}
    work = by_domain["D5"][4:]
    working = context.get("working", True if None not in work else None)
    denominator = {True: 106, False: 92, None: None}[working]
    if working is False:
        by_domain["D5"] = by_domain["D5"][:4]
    maxima = {"D1": 20, "D2": 16, "D3": 10, "D4": 12, "D5": 24 if working else 10, "D6": 24}
    out: Scores = {d: pct(codes, maxima[d]) for d, codes in by_domain.items()}
    if working is None:
        out["D5"] = None
    whole = [g for codes in by_domain.values() for g in codes]
    return {**out, "denominator": denominator, "total_complex": pct(whole, denominator) if denominator else None}


@by_hand("eq-5d-5l")
def eq5d(items: Any, context: Any) -> Scores:
    five = items[:5]
    gap = None in five
    return {
        "profile": None if gap else "".join(map(str, map(int, five))),
        "lss": total(five),
        "lfs": None if gap else "".join(str(five.count(level)) for level in range(1, 6)),
    }


GPH = (16.2, 19.9, 23.5, 26.7, 29.6, 32.4, 34.9, 37.4, 39.8, 42.3, 44.9, 47.7, 50.8, 54.1, 57.7, 61.9, 67.7)
GMH = (21.2, 25.1, 28.4, 31.3, 33.8, 36.3, 38.8, 41.1, 43.5, 45.8, 48.3, 50.8, 53.3, 56.0, 59.0, 62.5, 67.6)


@by_hand("promis-global-10")
def promis(items: Any, context: Any) -> Scores:
    pain = items.get("pain")
    eased = None if pain is None else 5 if pain == 0 else 4 if pain <= 3 else 3 if pain <= 6 else 2 if pain <= 9 else 1
    physical = total([items.get("q3"), items.get("q6"), eased, items.get("q8r")])
    mental = total(items.get(q) for q in ("q2", "q4", "q5", "q10r"))
    return {
        "gph_raw": physical,
        "gph_t": None if physical is None else GPH[physical - 4],
        "gmh_raw": mental,
        "gmh_t": None if mental is None else GMH[mental - 4],
        "pain_recoded": eased,
    }


def alliance(items: Any, task: str, bond: str, goal: str) -> Scores:
    parts = {"task": total(at(items, task)), "bond": total(at(items, bond)), "goal": total(at(items, goal))}
    return {**parts, "total": total(parts.values())}


@by_hand("wai-sr")
def wai_sr(items: Any, context: Any) -> Scores:
    return alliance(items, "1 2 10 12", "3 5 7 9", "4 6 8 11")


@by_hand("wai-s")
def wai_s(items: Any, context: Any) -> Scores:
    return alliance(turned(items, "4 10", 8), "1 2 8 12", "3 5 7 9", "4 6 10 11")


@by_hand("star-p")
def star_p(items: Any, context: Any) -> Scores:
    return {"total": total(turned(items, "4 7 9", 4))}


@by_hand("star-c")
def star_c(items: Any, context: Any) -> Scores:
    return {"total": total(turned(items, "4 6 9", 4))}


@by_hand("ceq-credibility")
def credibility(items: Any, context: Any) -> Scores:
    four, six = (None if items[n] is None else 1 + 8 * items[n] / 100 for n in (3, 5))
    return {
        "credibility_sum": total(items[:3]),
        "credibility_mean": mean(items[:3]),
        "expectancy_sum": total([four, items[4], six]),
    }


@by_hand("meq30")
def meq30(items: Any, context: Any) -> Scores:
    factors = {
        "mystical": ("4 5 6 9 14 15 16 18 20 21 23 24 25 26 28", 75),
        "positive_mood": ("2 8 12 17 27 30", 30),
        "time_space": ("1 7 11 13 19 22", 30),
        "ineffability": ("3 10 29", 15),
    }
    sums = {name: (total(at(items, numbers)), most_) for name, (numbers, most_) in factors.items()}
    reached = [None if found is None else 100 * found >= 60 * most_ for found, most_ in sums.values()]
    shares = {f"{name}_pct": None if found is None else 100 * found / most_ for name, (found, most_) in sums.items()}
    return {**shares, "total_pct": pct(items, 150), "complete_mystical": every(*reached)}


@by_hand("ceq-challenging")
def challenging(items: Any, context: Any) -> Scores:
    factors = {
        "grief": "2 6 9 11 23 25", "fear": "4 7 14 21 26", "death": "16 20", "insanity": "8 13 19",
        "isolation": "1 10 24", "physical": "3 5 15 17 18", "paranoia": "12 22",
    }  # fmt: skip
    shares = {f"{name}_pct": pct(at(items, n), 5 * len(n.split())) for name, n in factors.items()}
    return {"total_pct": pct(items, 130), **shares}


def insight(items: Any, avoidance: str, goals: str) -> Scores:
    return {
        "total_mean": mean([*at(items, avoidance), *at(items, goals)]),
        "avoidance_maladaptive_mean": mean(at(items, avoidance)),
        "goals_adaptive_mean": mean(at(items, goals)),
    }


@by_hand("piq")
def piq(items: Any, context: Any) -> Scores:
    return insight(items, "1 3 5 7 9 10 12 14 15 17 18 19 21 23", "2 4 6 8 11 13 16 20 22")


@by_hand("piq-28")
def piq28(items: Any, context: Any) -> Scores:
    return insight(items, "1 2 3 4 5 8 10 11 14 16 17 19 20 24", "6 7 12 13 15 18 23 26 28")


@by_hand("ebi")
def ebi(items: Any, context: Any) -> Scores:
    return {"sum": total(items), "mean": mean(items)}


@by_hand("edi")
def edi(items: Any, context: Any) -> Scores:
    return {"mean": mean(items)}


@by_hand("pps")
def pps(items: Any, context: Any) -> Scores:
    return {"total": total(items)}


@by_hand("asc-11")
def asc11(items: Any, context: Any) -> Scores:
    scales = {
        "unity": "18 34 41 42 52", "spiritual": "9 81 94", "bliss": "12 86 91", "insight": "50 69 77",
        "disembodiment": "26 62 63", "impaired_control": "8 27 38 47 64 67 78", "anxiety": "32 43 44 46 56 89",
        "complex_imagery": "39 72 82", "elementary_imagery": "14 22 33", "synesthesia": "20 23 75",
        "changed_meaning": "28 31 54",
    }  # fmt: skip
    return {name: mean(items.get(n) for n in numbers.split()) for name, numbers in scales.items()}


@by_hand("ace-10")
def ace(items: Any, context: Any) -> Scores:
    sure = sum(x or 0 for x in items)
    return {
        "total": total(items),
        "ge4": enough(items, 1, 4),
        "min_possible": sure,
        "max_possible": sure + blanks(items),
    }


@by_hand("ctq-sf")
def ctq(items: Any, context: Any) -> Scores:
    scored = turned(items, "5 7 13 19 28 2 26", 6)
    denial = at(items, "10 16 22")
    return {
        "emotional_abuse": total(at(scored, "3 8 14 18 25")),
        "physical_abuse": total(at(scored, "9 11 12 15 17")),
        "sexual_abuse": total(at(scored, "20 21 23 24 27")),
        "emotional_neglect": total(at(scored, "5 7 13 19 28")),
        "physical_neglect": total(at(scored, "1 2 4 6 26")),
        "validity_raw_sum": total(denial),
        "minimisation_count": None if None in denial else sum(x == 5 for x in denial),
    }


@by_hand("bfi-2-s-openness")
def openness(items: Any, context: Any) -> Scores:
    return {"open_mindedness_mean": mean(turned(items, "2 4 6", 6))}


@by_hand("asrm")
def asrm(items: Any, context: Any) -> Scores:
    return {"total": total(items), "positive": least(total(items), 6)}


@by_hand("msm")
def msm(items: Any, context: Any) -> Scores:
    found = total(items.get(part) for part in ("duration", "severity", "failures", "augmentation", "ect"))
    return {"total": found, "band": band(found, (6, "mild"), (10, "moderate"), (15, "severe"))}


@by_hand("mdq")
def mdq(items: Any, context: Any) -> Scores:
    thirteen = items.get("symptoms") or [None] * 13
    return {
        "symptom_count": total(thirteen),
        "positive": every(enough(thirteen, 1, 7), items.get("concurrent"), least(items.get("problem_level"), 2)),
    }


@by_hand("pq-16")
def pq16(items: Any, context: Any) -> Scores:
    endorsed = items.get("endorsed") or [None] * 16
    asked = zip(endorsed, items.get("distress") or [None] * 16, strict=True)
    return {
        "symptoms": total(endorsed),
        "distress": total(None if yes is None else d if yes else 0 for yes, d in asked),
        "ge6": least(total(endorsed), 6),
    }


@by_hand("audit")
def audit(items: Any, context: Any) -> Scores:
    full = list(items)
    if full[0] == 0:
        skipped = range(1, 8)
    elif full[0] is not None and full[1] == 0 and full[2] == 0:
        skipped = range(3, 8)
    else:
        skipped = range(0)
    full = [0 if x is None and n in skipped else x for n, x in enumerate(full)]
    return {
        "total": total(full),
        "audit_c": total(full[:3]),
        "dependence": total(full[3:6]),
        "problems": total(full[6:]),
        "ge8": least(total(full), 8),
    }


@by_hand("audit-c")
def audit_c(items: Any, context: Any) -> Scores:
    full = [0 if x is None and items[0] == 0 else x for x in items]
    found, sex = total(full), context.get("sex")
    three = None if sex is None else sex != "male"
    return {"total": found, "positive": some(least(found, 4), every(least(found, 3), three))}


@by_hand("dast-10")
def dast(items: Any, context: Any) -> Scores:
    found = total(turned(items, "3", 1))
    steps = ((0, "none"), (2, "low"), (5, "moderate"), (8, "substantial"), (10, "severe"))
    return {"total": found, "band": band(found, *steps)}
