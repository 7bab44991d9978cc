"""The dosing day of one person as a table of states.

The diagram in the manual, the buttons on the board and the tests all read STATES: from each state the steps that
may follow, and the state each leads to.
"""

from __future__ import annotations

from keel.domain.errors import refuse

_UNDER = {"begin_release": "release_check", "stop": "stopped", "transfer": "transferred"}

STATES: dict[str, dict[str, str]] = {
    "prepared": {"arrive": "arrived"},
    "arrived": {"give_dose": "dosed", "stop": "stopped"},
    "dosed": {"reach_onset": "onset", "give_supplemental": "dosed", **_UNDER},
    "onset": {"reach_peak": "peak", "give_supplemental": "onset", **_UNDER},
    "peak": {"reach_plateau": "plateau", "give_supplemental": "peak", **_UNDER},
    "plateau": {"reach_return": "return", "give_supplemental": "plateau", **_UNDER},
    "return": _UNDER,
    "release_check": {"release": "released", "go_back": "return", "stop": "stopped", "transfer": "transferred"},
    "stopped": {"begin_release": "release_check", "transfer": "transferred"},
    "released": {},
    "transferred": {},
}
LABELS: dict[str, str] = {
    "prepared": "Prepared",
    "arrived": "Arrived",
    "dosed": "Dosed",
    "onset": "Onset",
    "peak": "Peak",
    "plateau": "Plateau",
    "return": "Return",
    "release_check": "Release check",
    "released": "Released",
    "stopped": "Stopped",
    "transferred": "Transferred",
}

MOMENTS: dict[str, str] = {
    "water": "Water",
    "food": "Food",
    "bathroom": "Bathroom",
    "reassurance": "Reassurance",
    "touch_offered": "Touch offered",
    "touch_given": "Touch given",
    "music": "Music changed",
    "nausea": "Nausea",
    "vomiting": "Vomiting",
    "headache": "Headache",
    "distress": "Distress",
    "tears": "Tears",
    "laughter": "Laughter",
    "silence": "Silence",
    "insight": "Insight",
    "said": "Said",
    "room": "Room",
    "note": "Note",
}
WITHDRAWN = "withdrawn"
"""What an entry of the day becomes that did not happen: it counts nowhere and stays in sight."""
ROOM_ITEMS: dict[str, str] = {
    "location": "Where it is: indoors or outdoors; urban, suburban or rural",
    "ambiance": "The atmosphere that the team set up",
    "nature": "Nature within reach or sight",
    "objects": "Objects and decorations",
    "lighting": "Lighting, and whether it can be adjusted",
    "sensory": "Eyeshades, headphones and the like",
    "bathroom": "Bathroom: how accessible, private and safe",
    "positioning": "Who is where; what people sit or lie on",
    "focus": "Inward or outward focus; what is done",
    "music": "Music or soundscapes: the list and how it is played",
    "autonomy": "How far the participant can steer activities and surroundings",
    "disturbances": "What may disturb",
}
"""What is said once of a room and its way of working, for items of the ReSPCT guideline that no event holds."""


def after(state: str, step: str) -> str:
    """The state that a step leads to; refused where the table has no such step."""
    if step not in STATES[state]:
        possible = ", ".join(s.replace("_", " ") for s in STATES[state]) or "nothing"
        raise refuse(
            f"{step.replace('_', ' ').capitalize()} was refused",
            f"the person is {LABELS[state].lower()}",
            f"From here: {possible}",
            code="wrong-state",
        )
    return STATES[state][step]
