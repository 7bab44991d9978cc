"""Every setting, each with what it is for. Keel starts with none of them given.

KEEL_HOME       the folder for the database, the keys and the site's files            (.keel)
KEEL_DATABASE   where the record lies: `postgresql://user:word@host:port/name`, or a file for SQLite
KEEL_KEYS       the folder of the keys; keep it on another disk than the database     ($KEEL_HOME/keys)
KEEL_SHELF      further shelves with a site's protocols, rules and licensed wording
KEEL_HOSTS      host names that the site answers to, separated by commas              (localhost, 127.0.0.1)
KEEL_HTTPS      1 behind a proxy that speaks HTTPS: cookies are then sent over HTTPS only
KEEL_SIMULATED  1 where everything is simulated: every page then says so
KEEL_CLOCK      a file that sets the clock of a simulated site (keel/actions/now.py); a real site ignores it
KEEL_SMALLEST   people in the smallest cell that is shown to whoever may not see rows (5, a house rule)
KEEL_THREADS    how many threads of a process answer pages                                (4)
KEEL_DEBUG      1 shows tracebacks in the browser; never on a real site
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from keel.records.secrets import secret

HOME = Path(os.environ.get("KEEL_HOME", ".keel")).resolve()
KEYS = Path(os.environ.get("KEEL_KEYS") or HOME / "keys")
SIMULATED = os.environ.get("KEEL_SIMULATED") == "1"
CLOCK = os.environ.get("KEEL_CLOCK") or None
DEBUG = os.environ.get("KEEL_DEBUG") == "1"
SMALLEST_CELL = int(os.environ.get("KEEL_SMALLEST") or 5)
HTTPS = os.environ.get("KEEL_HTTPS") == "1"
WEB = Path(__file__).parents[1] / "web"

SECRET_KEY = secret(KEYS / "pages.key").hex()
ALLOWED_HOSTS = [h.strip() for h in os.environ.get("KEEL_HOSTS", "localhost,127.0.0.1,[::1],testserver").split(",")]


def database(named: str) -> dict[str, object]:
    """The database that `KEEL_DATABASE` names; SQLite in the home folder when it names none."""
    if named.startswith(("postgresql://", "postgres://")):
        url = urlsplit(named)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.path.lstrip("/"),
            "USER": unquote(url.username or ""),
            "PASSWORD": unquote(url.password or ""),
            "HOST": url.hostname or "",
            "PORT": url.port or "",
            "CONN_MAX_AGE": 600,
            "CONN_HEALTH_CHECKS": True,
        }
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": named or str(HOME / "keel.sqlite3"),
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # A write that waits for its turn at BEGIN waits in order; one that finds out at its first UPDATE fails.
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            # FULL: an acknowledged event survives a power cut.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
        },
        # The tests want a file too: an in-memory database has no WAL and no second connection.
        "TEST": {"NAME": str(HOME / "test.sqlite3")},
    }


DATABASES = {"default": database(os.environ.get("KEEL_DATABASE", ""))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "keel.records",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "keel.web.layout.middleware.headers",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "keel.web.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [WEB],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["keel.web.layout.words"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
                "keel.web.layout.context.page",
            ],
        },
    }
]

# ---- signing in ---------------------------------------------------------------------------------
AUTH_USER_MODEL = "records.Account"
AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/account/login/"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/account/login/"
ACCOUNT_ADAPTER = "keel.web.account.adapter.NoSignup"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
# Five wrong passwords for one address close it for five minutes; one machine may try sixty sign-ins a minute.
ACCOUNT_RATE_LIMITS = {"login": "60/m/ip", "login_failed": "60/m/ip,5/5m/key"}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = False
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CSRF_FAILURE_VIEW = "keel.web.layout.errors.csrf"

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None

# ---- pages --------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = HOME / "static"
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
STATICFILES_DIRS = [WEB / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 5_000_000

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    # No line may tell that somebody was at the letter box (web/safety/concern.py).
    "filters": {
        "discreet": {
            "()": "django.utils.log.CallbackFilter",
            "callback": lambda record: "/concern" not in record.getMessage(),
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["discreet"]}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
