"""Every setting, each with what it is for. Keel starts with none of them given."""

SECRET_KEY = "not-yet"
INSTALLED_APPS: list[str] = []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
