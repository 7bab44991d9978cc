"""Studies, and the definitions that courses keep."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime

from keel.actions.door import action
from keel.domain import access
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.library import shelf
from keel.library.document_files import document_entry
from keel.library.protocol_files import protocol_entry
from keel.records import journal
from keel.records.journal import Recorded
from keel.records.models import DefinitionRow, SiteRow

_STUDY_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,58}")


@action("open_study")
def open_study(
    *,
    study: str,
    title: str,
    protocol: str,
    sites: Sequence[str],
    by: Actor,
    at: datetime,
    documents: Sequence[str] = (),
) -> Recorded:
    """Open a study: a protocol of the shelf, run at one or more sites. `documents` are the consents it asks for.

    A study that stands already in the same words gives the first answer again; in other words it is refused.
    """
    if not _STUDY_ID.fullmatch(study):
        raise refuse(
            f"The study {study!r} was not opened", "an id is lower-case letters, digits and hyphens", "Choose another"
        )
    if not title.strip():
        raise refuse("The study was not opened", "it has no title", "Give the title that its team knows")
    for site in sites:
        access.check_site(by, "open_study", site=site)
    unknown = set(sites) - set(SiteRow.objects.filter(id__in=sites).values_list("id", flat=True))
    if unknown or not sites:
        raise refuse(
            "The study was not opened", f"there is no site {', '.join(unknown) or 'named'}", "Open the site first"
        )
    for document in documents:
        document_entry(document)
    definition, entry = protocol_entry(protocol)
    adopt(entry, by=by, at=at)
    payload = {
        "title": title,
        "protocol": protocol,
        "protocol_version": definition.version,
        "sites": list(sites),
        "documents": list(documents),
    }
    with journal.writing(stream := f"study:{study}") as writing:
        if not writing.heads[stream][0]:
            writing.append("study_opened", payload, by=by, at=at)
            return writing.recorded()
        first = journal.events(stream)[0]
        if first.payload != payload:
            raise refuse(
                f"The study {study!r} was not opened", "there is another of that name already", "Choose another id"
            )
        writing.answer = Recorded(first.id, stream, first.position, first.kind, True, first.payload)
        return writing.answer


def adopt(entry: shelf.Entry, *, by: Actor, at: datetime) -> str:
    """Copy a definition into the journal the first time that version comes into use; gives its id.

    Refuses a file whose content changed while its version stayed: a course keeps what it began with.
    """
    name = f"{entry.kind}/{entry.id}/{entry.version}"
    known = DefinitionRow.objects.filter(id=name).values_list("sha256", flat=True).first()
    if known is None:
        with journal.writing(f"definition:{name}") as writing:
            # Another request may have been first while this one waited for the lock.
            known = DefinitionRow.objects.filter(id=name).values_list("sha256", flat=True).first()
            if known is None:
                table = json.loads(json.dumps(entry.table, default=str))
                payload = {
                    "kind": entry.kind,
                    "id": entry.id,
                    "version": entry.version,
                    "sha256": entry.sha256,
                    "table": table,
                }
                writing.append("definition_adopted", payload, by=by, at=at)
                return name
            writing.answer = Recorded("", f"definition:{name}", 1, "definition_adopted", True, {})
    if known != entry.sha256:
        raise refuse(
            f"{entry.place} was not taken into use",
            f"version {entry.version} is in use with another content",
            "Give the changed file a new version",
            where=entry.place,
            code="changed-quietly",
        )
    return name
