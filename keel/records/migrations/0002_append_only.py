"""Events and seals are only ever added: the database itself refuses to change or delete one."""

from django.db import migrations

TABLES = ("journal_event", "journal_seal")
SENTENCE = "the journal is append-only: amend with a new event"


def sqlite(table):
    for verb in ("UPDATE", "DELETE"):
        yield f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{SENTENCE}'); END"


def postgresql(table):
    yield (
        "CREATE OR REPLACE FUNCTION keel_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{SENTENCE}'; END $$"
    )
    yield f"CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keel_append_only()"
    yield f"CREATE TRIGGER {table}_whole BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION keel_append_only()"


def guard(apps, schema_editor):
    statements = sqlite if schema_editor.connection.vendor == "sqlite" else postgresql
    for table in TABLES:
        for statement in statements(table):
            schema_editor.execute(statement)


def unguard(apps, schema_editor):
    names = ("no_update", "no_delete") if schema_editor.connection.vendor == "sqlite" else ("kept", "whole")
    for table in TABLES:
        for name in names:
            on = "" if schema_editor.connection.vendor == "sqlite" else f" ON {table}"
            schema_editor.execute(f"DROP TRIGGER {table}_{name}{on}")


class Migration(migrations.Migration):
    dependencies = [("records", "0001_the_record")]
    operations = [migrations.RunPython(guard, unguard)]
