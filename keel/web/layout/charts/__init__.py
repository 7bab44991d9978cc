"""Charts as SVG: pure functions from frozen values to drawings, each with a title, a description and direct labels.

Every function but `sparkline` gives a `Chart` with a wide and a narrow drawing of the same data; put it on a page with
`{% include "layout/parts/chart.html" with chart=… caption=… %}`. Time axes are in the words of the course.
"""

from keel.web.layout.charts.canvas import MEASURES, TONES, Chart, Drawing
from keel.web.layout.charts.evidence import (
    Alluvial,
    Forest,
    Funnel,
    KaplanMeier,
    Scatter,
    Stage,
    Study,
    Survival,
    alluvial,
    forest,
    funnel,
    kaplan_meier,
    scatter,
)
from keel.web.layout.charts.journey import STATES, Journey, Phase, Visit, Year, journey, year
from keel.web.layout.charts.scores import (
    Line,
    Point,
    Scores,
    Spark,
    Threshold,
    Trajectories,
    scores,
    sparkline,
    trajectories,
)
from keel.web.layout.charts.session import Happening, Limit, Readings, Session, Stretch, session

__all__ = [
    "MEASURES",
    "STATES",
    "TONES",
    "Alluvial",
    "Chart",
    "Drawing",
    "Forest",
    "Funnel",
    "Happening",
    "Journey",
    "KaplanMeier",
    "Limit",
    "Line",
    "Phase",
    "Point",
    "Readings",
    "Scatter",
    "Scores",
    "Session",
    "Spark",
    "Stage",
    "Stretch",
    "Study",
    "Survival",
    "Threshold",
    "Trajectories",
    "Visit",
    "Year",
    "alluvial",
    "forest",
    "funnel",
    "journey",
    "kaplan_meier",
    "scatter",
    "scores",
    "session",
    "sparkline",
    "trajectories",
    "year",
]
