"""The consent documents on the shelf, by id (`documents/<id>.toml`)."""

from __future__ import annotations

from keel.domain.consent import Document
from keel.library import shelf

KIND = "documents"


def document_entry(id: str) -> tuple[Document, shelf.Entry]:
    """The document and the file it came from. Refuses an unknown id, and a malformed file with all its errors."""
    entry = shelf.read(KIND, id)
    return Document.from_table(id, entry.table, entry.place), entry
