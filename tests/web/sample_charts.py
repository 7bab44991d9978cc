"""One chart of each kind from plainly simulated data, for the gallery."""

from __future__ import annotations

from datetime import date
from math import exp, sin

from keel.web.layout import charts as c

VISITS = ("Screening", "Baseline", "Dose 1", "Week 1", "Dose 2", "Week 4", "Week 8", "Month 6", "Month 12")


ABSENT = "not asked"


def line(label: str, measure: str, values: list[float | str | None], spread: float = 0) -> c.Line:
    points = []
    for visit, v in enumerate(values):
        if isinstance(v, str):
            continue
        low, high = (v - spread, v + spread) if spread and v is not None else (None, None)
        points.append(c.Point(visit, v, low, high))
    return c.Line(label, measure, tuple(points))


SCORES = c.Scores(
    title="Depression over the course of S-014",
    visits=VISITS,
    lines=(
        line("GRID-HAMD-17", "depression", [23, 22, ABSENT, 12, ABSENT, 9, 8]),
        line("GAD-7", "anxiety", [12, 11, ABSENT, None, ABSENT, 10, 12]),
    ),
    low=0,
    high=30,
    thresholds=(c.Threshold(11, "Response: half of baseline, 11 or less"), c.Threshold(7, "Remission: 7 or less")),
    doses=(2, 4),
)


def trajectories() -> c.Trajectories:
    people = tuple(
        line(f"person {n}", "depression" if n % 2 else "experience", [
            24 + 3 * sin(n * 1.7) - (9 if n % 2 else 3) * (1 - exp(-i / 2)) + 3 * sin(n * 2.3 + i) for i in range(6)
        ])
        for n in range(18)
    )  # fmt: skip
    means = (
        line("Immediate, n = 9", "depression", [23.4, 19, 17.2, 15.4, 14.9, 14.6], 2.1),
        line("Delayed, n = 9", "experience", [23.1, 22.4, 21.6, 21.1, 20.7, 20.4], 1.9),
    )
    visits = ("Baseline", "Week 1", "Week 4", "Week 5", "Week 8", "Month 3")
    remission = (c.Threshold(7, "Remission: 7 or less"),)
    return c.Trajectories("GRID-HAMD-17 in both arms", visits, people, means, 0, 35, remission)


JOURNEY = c.Journey(
    title="The course of S-014",
    phases=(
        c.Phase("Screening", 0, 14),
        c.Phase("Preparation", 14, 35),
        c.Phase("Dosing", 35, 49),
        c.Phase("Integration", 49, 77),
        c.Phase("Follow-up", 77, 400),
    ),
    visits=(
        c.Visit("Screening visit", 0, 14, 4, "done"),
        c.Visit("Preparation 1", 14, 20, 15, "done"),
        c.Visit("Preparation 2", 20, 27, 29, "done_out_of_window", "done, 2 days late"),
        c.Visit("Dose 1", 35, 38, 36, "done", dose=True),
        c.Visit("Dose 2", 42, 48, 43, "done", dose=True),
        c.Visit("Integration 1", 49, 53, 51, "done"),
        c.Visit("Integration 2", 54, 58, 56, "overdue", "1 day overdue"),
        c.Visit("Integration 3", 60, 75, 66, "planned"),
        c.Visit("Week 8", 91, 99, 95, "planned"),
        c.Visit("Month 6", 205, 230, 217, "planned"),
        c.Visit("Month 12", 380, 400, 395, "planned"),
    ),
    ticks=((0, "day 0"), (35, "week 5"), (77, "week 11"), (217, "month 6"), (395, "month 12")),
    today=59,
    today_label="Today, 21 Nov",
)


def session() -> c.Session:
    minutes = [*range(-30, 0, 15), *range(0, 361, 15)]

    def rise(base: float, by: float) -> tuple[tuple[float, float | None], ...]:
        return tuple(
            (
                m,
                None
                if 150 <= m <= 165
                else round(base + by * max(0, m) / 70 * exp(1 - max(0, m) / 70) + 2 * sin(m), 1),
            )
            for m in minutes
        )

    warmth = tuple((m, round(36.7 + 0.5 * sin(m / 120), 1)) for m in minutes[::2])
    return c.Session(
        title="Session of Ben S.",
        readings=(
            c.Readings("systolic", rise(122, 34)),
            c.Readings("diastolic", rise(78, 16)),
            c.Readings("heart", rise(66, 22)),
            c.Readings("temperature", warmth),
        ),
        stretches=(
            c.Stretch("Arrived", -30, 0),
            c.Stretch("Onset", 0, 50),
            c.Stretch("Peak", 50, 160),
            c.Stretch("Plateau", 160, 240),
            c.Stretch("Return", 240, 360),
        ),
        happenings=(
            c.Happening(0, "25 mg psilocybin", dose=True),
            c.Happening(22, "nausea"),
            c.Happening(48, "music changed"),
            c.Happening(62, "blood pressure repeated"),
            c.Happening(70, "physician called"),
            c.Happening(118, "hand held, as agreed"),
            c.Happening(205, "water"),
            c.Happening(230, "said: it is quiet now"),
            c.Happening(340, "walks steadily"),
        ),
        limits=(c.Limit("systolic", 160, "call the physician: 160 systolic twice"),),
        start=-30,
        end=360,
    )


FOREST = c.Forest(
    title="Response after treatment in simulated trials",
    studies=(
        c.Study("Simulated A 2020", -1.12, -1.71, -0.53, 0.22),
        c.Study("Simulated B 2021, two arms", -0.61, -1.24, 0.02, 0.20),
        c.Study("Simulated C 2022", -0.84, -1.22, -0.46, 0.35),
        c.Study("Simulated D 2024", -0.30, -0.82, 0.22, 0.23),
    ),
    pooled=c.Study("Pooled, 4 trials", -0.72, -1.16, -0.28),
    prediction=(-1.61, 0.17),
    less="favours treatment",
    more="favours control",
)
FUNNEL = c.Funnel(
    title="Effect and standard error of simulated trials",
    across="Standardised mean difference",
    studies=(
        ("Simulated A 2020", -1.12, 0.30),
        ("Simulated B 2021, two arms", -0.61, 0.32),
        ("Simulated C 2022", -0.84, 0.19),
        ("Simulated D 2024", -0.30, 0.27),
    ),
    centre=-0.72,
    reach=1.96,
    filled=((-0.40, 0.30),),
)
STATE = {"M": "Remission", "R": "Response", "N": "No response", "U": "Unknown"}
ALLUVIAL = c.Alluvial(
    title="Response over the course",
    states={"Remission": "done", "Response": "action", "No response": "caution", "Unknown": "unknown"},
    stages=(
        c.Stage("Baseline", {"No response": 24}),
        c.Stage("Week 1", {"Remission": 9, "Response": 8, "No response": 6, "Unknown": 1}),
        c.Stage("Week 4", {"Remission": 11, "Response": 6, "No response": 5, "Unknown": 2}),
        c.Stage("Month 12", {"Remission": 10, "Response": 4, "No response": 5, "Unknown": 5}),
    ),
    flows=tuple(
        {(STATE[word[0]], STATE[word[1]]): int(word[2:]) for word in words.split()}
        for words in ("NM9 NR8 NN6 NU1", "MM8 MR1 RM3 RR4 RU1 NN5 NR1 UU1", "MM9 MU2 RR4 RM1 RU1 NN5 UU2")
    ),
)


def scatter() -> c.Scatter:
    points = tuple((3 + 4 * abs(sin(n * 1.3)), 2 + 18 * abs(sin(n * 1.3)) * 0.6 + 6 * sin(n * 4.1)) for n in range(30))
    fitted = tuple(
        (3 + i * 0.4, 2 + i * 1.1, 2 + i * 1.1 - 2 - 0.2 * abs(i - 5), 2 + i * 1.1 + 2 + 0.2 * abs(i - 5))
        for i in range(11)
    )
    return c.Scatter(
        title="Alliance before dosing and change in depression",
        across="Alliance at the last preparation session, WAI-SR",
        up="Drop of GRID-HAMD-17 from baseline to week 5",
        points=points,
        fitted=fitted,
        says="r = 0.48, 95 % interval 0.15 to 0.72",
    )


KAPLAN_MEIER = c.KaplanMeier(
    title="Time to relapse",
    arms=(
        c.Survival(
            "Two doses",
            "depression",
            steps=((0, 1, 1, 1), (60, 0.95, 0.86, 1), (120, 0.88, 0.75, 0.98), (250, 0.79, 0.62, 0.93)),
            censored=(200, 300, 330),
            at_risk=((0, 24), (180, 19), (360, 12)),
        ),
        c.Survival(
            "One dose",
            "experience",
            steps=((0, 1, 1, 1), (30, 0.9, 0.79, 1), (90, 0.76, 0.6, 0.9), (180, 0.6, 0.42, 0.78)),
            censored=(150, 280),
            at_risk=((0, 22), (180, 12), (360, 6)),
        ),
    ),
    end=365,
    ticks=((0, "dose 1"), (28, "week 4"), (90, "month 3"), (180, "month 6"), (270, "month 9"), (360, "month 12")),
)
YEAR = c.Year(
    title="Dosing sessions in 2026",
    year=2026,
    counts={date(2026, m, d): (m * d) % 4 for m in range(1, 12) for d in range(2, 28, 5 - m % 3)},
    what="dosing sessions",
    today=date(2026, 11, 21),
)


def drawn() -> dict[str, c.Chart | c.Drawing]:
    """Every sample chart by the name under which the gallery's pages ask for it."""
    return {
        "scores_chart": c.scores(SCORES),
        "trajectories_chart": c.trajectories(trajectories()),
        "journey_chart": c.journey(JOURNEY),
        "session_chart": c.session(session()),
        "forest_chart": c.forest(FOREST),
        "funnel_chart": c.funnel(FUNNEL),
        "alluvial_chart": c.alluvial(ALLUVIAL),
        "scatter_chart": c.scatter(scatter()),
        "survival_chart": c.kaplan_meier(KAPLAN_MEIER),
        "year_chart": c.year(YEAR),
        "spark": c.sparkline(
            c.Spark("Systolic in the last hour", (121, 124, 131, None, 138, 144, 149), "systolic", 160)
        ),
    }
