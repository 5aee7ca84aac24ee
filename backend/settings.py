"""Settings for every environment. Differences come from variables; env.production.example explains them."""

from datetime import timedelta
from typing import Any

from backend import rest_settings
from backend.database import sqlite
from backend.environment.variables import PROJECT, Environment
from backend.logging_config import get_logging_config

BASE_DIR = PROJECT

ENVIRONMENTS = ("development", "test", "staging", "production")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

env = ENV = Environment()
DJANGO_ENVIRONMENT = env.choice("DJANGO_ENVIRONMENT", "development", choices=ENVIRONMENTS)
if DJANGO_ENVIRONMENT != "test":
    # Tests must not use the servers that a .env file of this checkout names.
    env.read_file()
    DJANGO_ENVIRONMENT = env.choice("DJANGO_ENVIRONMENT", "development", choices=ENVIRONMENTS)
DEPLOYED = DJANGO_ENVIRONMENT in {"staging", "production"}

DEBUG = env.boolean("DEBUG", DJANGO_ENVIRONMENT == "development")
if DEBUG and DJANGO_ENVIRONMENT == "production":
    env.problems.append("DEBUG must be off in production.")
HARDENED = not DEBUG and DJANGO_ENVIRONMENT != "test"

APP_VERSION = env.text("APP_VERSION", "1.0.0")
SERVICE_NAME = "cosmo-backend"

# --- Secrets and hosts

if DEPLOYED:
    env.require(
        "SECRET_KEY",
        "JWT_SIGNING_KEY",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "PUBLIC_BASE_URL",
        "DEFAULT_FROM_EMAIL",
        "TRUSTED_PROXY_COUNT",
        reason=f"{DJANGO_ENVIRONMENT} needs it (env.production.example explains each)",
    )
    generated_secrets = ("", "")
else:
    generated_secrets = env.generated_secrets(
        BASE_DIR / ".development-secrets", unless_set=("SECRET_KEY", "JWT_SIGNING_KEY")
    )
SECRET_KEY = env.secret("SECRET_KEY", generated_secrets[0], min_length=50)
JWT_SIGNING_KEY = env.secret("JWT_SIGNING_KEY", generated_secrets[1], min_length=50)
if SECRET_KEY and SECRET_KEY == JWT_SIGNING_KEY:
    env.problems.append("JWT_SIGNING_KEY must be another value than SECRET_KEY.")

LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", [] if DEPLOYED else LOCAL_HOSTS, wildcard=DJANGO_ENVIRONMENT != "production")
# Where a front end is usually served during its development.
LOCAL_ORIGINS = [f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 5173, 8000)]
DEFAULT_ORIGINS = LOCAL_ORIGINS if DJANGO_ENVIRONMENT == "development" else []
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS", DEFAULT_ORIGINS)
CORS_ALLOWED_ORIGINS = env.origins("CORS_ALLOWED_ORIGINS", DEFAULT_ORIGINS)
CORS_EXPOSE_HEADERS = ["ETag", "Location", "Retry-After", "X-Request-ID"]
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "idempotency-key", "if-match", "x-request-id"]
PUBLIC_BASE_URL = env.base_url("PUBLIC_BASE_URL", "http://localhost:8000")
FRONTEND_URL = env.base_url("FRONTEND_URL", "")  # the users' front end, if it is not PUBLIC_BASE_URL
TRUSTED_PROXY_COUNT = env.integer("TRUSTED_PROXY_COUNT", 0, minimum=0, maximum=10)

# --- Application

INSTALLED_APPS = [
    "backend",  # first: our commands and templates override others of the same name
    "api",
    "api.apps.CosmoAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "django_extensions",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "backend.middleware.RequestLoggingMiddleware",
    "backend.middleware.SecurityHeadersMiddleware",
    "backend.middleware.HealthCheckMiddleware",
    "backend.middleware.ErrorLoggingMiddleware",
    "backend.middleware.ProblemDetailsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "backend.http.request_limits.RequestLimitsMiddleware",  # before everything that reads a cookie or a body
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "api.accounts.browser_sessions.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "backend.urls"
WSGI_APPLICATION = "backend.wsgi.application"
APPEND_SLASH = False  # A redirect would turn a POST into a GET; a wrong path is 404.
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "static" if DEPLOYED else None
WHITENOISE_USE_FINDERS = not DEPLOYED  # serves files from the packages if collectstatic has not run
STORAGES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if DEPLOYED
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# --- Database and cache

DATABASE = env.database("DATABASE_URL", BASE_DIR / "db.sqlite3")
DB_POOL_MIN_SIZE = env.integer("DB_POOL_MIN_SIZE", 1, minimum=0, maximum=100)
DB_POOL_MAX_SIZE = env.integer("DB_POOL_MAX_SIZE", 8, minimum=1, maximum=100)
DB_POOL_TIMEOUT = env.integer("DB_POOL_TIMEOUT", 2, minimum=1, maximum=60)
if DB_POOL_MIN_SIZE > DB_POOL_MAX_SIZE:
    env.problems.append("DB_POOL_MIN_SIZE must be at most DB_POOL_MAX_SIZE.")
if DATABASE["ENGINE"].endswith("postgresql"):
    from backend.database.postgres import connection_options

    DATABASE |= {"CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": True}
    DATABASE["OPTIONS"] = DATABASE.get("OPTIONS", {}) | connection_options(
        min_size=DB_POOL_MIN_SIZE, max_size=DB_POOL_MAX_SIZE, timeout=DB_POOL_TIMEOUT
    )
else:
    if DEPLOYED and DATABASE["NAME"] == ":memory:":
        env.problems.append("DATABASE_URL must name a server or a file: memory is lost with each connection.")
    # IMMEDIATE: a transaction takes the write lock before it reads the rows that its decision depends on.
    DATABASE["OPTIONS"] = {
        "factory": sqlite.DevelopmentConnection if DJANGO_ENVIRONMENT == "development" else sqlite.PrivateConnection,
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
    # A file, as in production: an in-memory database locks differently.
    DATABASE["TEST"] = {"NAME": BASE_DIR / "test.sqlite3"}
DATABASES = {"default": DATABASE}
SILENCED_SYSTEM_CHECKS = [
    "models.W040",  # SQLite ignores the columns that indexes include for counting
    "security.W002",  # backend.middleware.SECURITY_HEADERS sets the headers of this and the next two
    "security.W006",
    "security.W022",
]

REDIS_URL = env.redis_url("REDIS_URL")
CACHES: dict[str, dict[str, Any]] = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if REDIS_URL:
    CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cosmo",
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }

# --- Background jobs (backend/celery.py). Without a broker, web processes send emails and cron runs the jobs.

CELERY_BROKER_URL = env.broker_url("CELERY_BROKER_URL") or REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 1, "socket_timeout": 5, "visibility_timeout": 3600}
CELERY_BROKER_CONNECTION_TIMEOUT = 1  # seconds
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_ACKS_LATE = True  # a job whose worker is killed runs again
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
# Seconds; below the visibility timeout, otherwise a job would run twice at once. No soft limit: its exception would
# interrupt the delivery of one email, or one user's digest, and be counted as its failure.
CELERY_TASK_TIME_LIMIT = 1800
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = "UTC"
EMAIL_DIGEST_ENABLED = env.boolean("EMAIL_DIGEST_ENABLED", default=True)
EMAIL_DIGEST_HOUR_UTC = env.integer("EMAIL_DIGEST_HOUR_UTC", 12, minimum=0, maximum=23)

# --- Users, passwords and tokens

AUTH_USER_MODEL = "api.User"
PASSWORD_HASHERS = ["api.users.passwords.Argon2idPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "api.users.passwords.LengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "SIGNING_KEY": JWT_SIGNING_KEY,
    "ISSUER": SERVICE_NAME,
    "AUDIENCE": SERVICE_NAME,
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=5),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
}
PASSWORD_RESET_TIMEOUT = 3600  # seconds
SESSION_COOKIE_AGE = 12 * 3600  # seconds; of a browser session
SESSION_ABSOLUTE_LIFETIME = timedelta(days=30)  # refreshing does not extend a session beyond this

# --- REST

DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes of a body
SMALL_BODY = 16 * 1024  # bytes, where clients send credentials before they are authenticated
SMALL_BODY_PATHS = ("/api/auth/", "/accounts/", "/unsubscribe/", "/admin/login/", "/manager/login/")
FILE_UPLOAD_HANDLERS = ["backend.http.uploads.NoUploads"]
REST_FRAMEWORK = rest_settings.REST_FRAMEWORK
SPECTACULAR_SETTINGS = rest_settings.SPECTACULAR_SETTINGS | {"VERSION": APP_VERSION}

# --- HTTPS, security headers and cookies

SECURE_SSL_REDIRECT = env.boolean("SECURE_SSL_REDIRECT", HARDENED)
SECURE_HSTS_SECONDS = env.integer(
    "SECURE_HSTS_SECONDS", 365 * 24 * 3600 if HARDENED else 0, minimum=0, maximum=10 * 365 * 24 * 3600
)
SECURE_REDIRECT_EXEMPT = [r"^api/health/", r"^metrics$"]
# backend.middleware.SecurityHeadersMiddleware sets these headers on every response; Django's would reach only some.
SECURE_CONTENT_TYPE_NOSNIFF = False
SECURE_REFERRER_POLICY = SECURE_CROSS_ORIGIN_OPENER_POLICY = None
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HARDENED
DEVICE_COOKIE_NAME = "device"  # api/accounts/devices.py
if HARDENED:  # browsers accept these names only from this host, over TLS (RFC 6265bis, 4.1.3.2)
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
    DEVICE_COOKIE_NAME = "__Host-device"
CSRF_FAILURE_VIEW = "backend.http.error_pages.csrf_failure"

# --- Email

EMAIL_BACKEND = env.email_backend(
    "EMAIL_BACKEND", f"django.core.mail.backends.{'smtp' if DEPLOYED else 'console'}.EmailBackend"
)
if DEPLOYED and EMAIL_BACKEND.endswith("smtp.EmailBackend"):
    env.require("EMAIL_HOST", reason="the SMTP backend needs it")
if EMAIL_BACKEND == "django.core.mail.backends.filebased.EmailBackend":
    EMAIL_BACKEND = "backend.files.email_backend.EmailBackend"
EMAIL_FILE_PATH = env.path("EMAIL_FILE_PATH", "mails")
EMAIL_HOST = env.host("EMAIL_HOST", "localhost")
EMAIL_PORT = env.integer("EMAIL_PORT", 25, minimum=1, maximum=65535)
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", default=False)
EMAIL_HOST_USER = env.ascii_text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.ascii_text("EMAIL_HOST_PASSWORD")
if bool(EMAIL_HOST_USER) != bool(EMAIL_HOST_PASSWORD):
    env.problems.append("EMAIL_HOST_USER and EMAIL_HOST_PASSWORD must be set together, or neither of them.")
EMAIL_TIMEOUT = env.integer("EMAIL_TIMEOUT", 10, minimum=1, maximum=300)
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.sender("DEFAULT_FROM_EMAIL", "cosmo@localhost")
ADMINS = env.people("DJANGO_ADMINS")
EMAIL_SUBJECT_PREFIX = f"[Cosmo {DJANGO_ENVIRONMENT}] "

# --- Logging and errors

LOGS_DIR = env.path("LOGS_DIR", "logs/test" if DJANGO_ENVIRONMENT == "test" else "logs")
LOG_LEVEL = env.choice("LOG_LEVEL", "DEBUG" if DEBUG else "INFO", choices=LOG_LEVELS)
LOG_CONSOLE_FORMAT = env.choice(
    "LOG_CONSOLE_FORMAT", "text" if DJANGO_ENVIRONMENT == "development" else "json", choices=("text", "json")
)
LOG_ROTATION = env.choice("LOG_ROTATION", "internal", choices=("internal", "external"))
LOG_SKIP_PATHS = tuple(env.skipped_paths("LOG_SKIP_PATHS"))
SLOW_REQUEST_THRESHOLD = env.integer("SLOW_REQUEST_THRESHOLD", 1000, minimum=1, maximum=3_600_000)  # milliseconds
SLOW_QUERY_THRESHOLD = env.integer("SLOW_QUERY_THRESHOLD", 100, minimum=1, maximum=3_600_000)  # milliseconds
MEMORY_GROWTH_THRESHOLD = env.integer("MEMORY_GROWTH_THRESHOLD", 200, minimum=1, maximum=100_000)  # megabytes
LOGGING = get_logging_config(
    logs_dir=LOGS_DIR,
    service=SERVICE_NAME,
    version=APP_VERSION,
    environment=DJANGO_ENVIRONMENT,
    debug=DEBUG,
    level=LOG_LEVEL,
    console=LOG_CONSOLE_FORMAT,
    rotation=LOG_ROTATION,
    mail_admins=bool(ADMINS) and not DEBUG,
)

SENTRY_DSN = env.unchecked("SENTRY_DSN")
SENTRY_TRACES_SAMPLE_RATE = env.fraction("SENTRY_TRACES_SAMPLE_RATE", 0.1)
OTEL_EXPORTER_OTLP_ENDPOINT = env.http_url("OTEL_EXPORTER_OTLP_ENDPOINT")

METRICS_TOKEN = env.token("METRICS_TOKEN")
HEALTH_TOKEN = env.token("HEALTH_TOKEN")
DRAIN_FILE = env.flag_file("DRAIN_FILE", "drain")  # while it exists, health and readiness are 503

# --- Web server (deploy/gunicorn.conf.py reads these)

WEB_BIND = env.bind("WEB_BIND", "127.0.0.1:8000")
WEB_CONCURRENCY = env.integer("WEB_CONCURRENCY", 0, minimum=0, maximum=256)  # 0: the number of cores plus one
WEB_THREADS = env.integer("WEB_THREADS", 4, minimum=1, maximum=256)
WEB_TIMEOUT = env.integer("WEB_TIMEOUT", 30, minimum=1, maximum=600)  # seconds

env.require_environment("DJANGO_ENVIRONMENT", ENVIRONMENTS)
env.raise_if_invalid()
