"""Every table. The journal and the vault are kept; all others are read models that `keel rebuild` makes anew."""

from keel.records.models.assessment import ResponseRow
from keel.records.models.course import (
    ConsentRow,
    CourseRow,
    DeviationRow,
    FactRow,
    FindingRow,
    LookRow,
    VisitRow,
    WordsRow,
)
from keel.records.models.day import (
    DayRow,
    DoseRow,
    MomentRow,
    PresenceRow,
    ReleaseItemRow,
    RoomRow,
    SessionRow,
    VitalsRow,
)
from keel.records.models.journal import EventRow, HeadRow, OffsetRow, SealRow
from keel.records.models.people import MembershipRow, SiteRow
from keel.records.models.read_model import ReadModel
from keel.records.models.safety import AdverseEventRow, AlertRow
from keel.records.models.study import CohortRow, DefinitionRow, StudyRow
from keel.records.models.vault import Account, IdentityRow, KeyRow, LinkRow

__all__ = [
    "Account",
    "AdverseEventRow",
    "AlertRow",
    "CohortRow",
    "ConsentRow",
    "CourseRow",
    "DayRow",
    "DefinitionRow",
    "DeviationRow",
    "DoseRow",
    "EventRow",
    "FactRow",
    "FindingRow",
    "HeadRow",
    "IdentityRow",
    "KeyRow",
    "LinkRow",
    "LookRow",
    "MembershipRow",
    "MomentRow",
    "OffsetRow",
    "PresenceRow",
    "ReadModel",
    "ReleaseItemRow",
    "ResponseRow",
    "RoomRow",
    "SealRow",
    "SessionRow",
    "SiteRow",
    "StudyRow",
    "VisitRow",
    "VitalsRow",
    "WordsRow",
]
