# Cosmo in a container; compose.yaml runs it with its services. Alone:
#   docker build -t cosmo . && docker run --env-file .env -p 8000:8000 cosmo

FROM python:3.13-slim-bookworm AS build
WORKDIR /app
RUN python -m venv /venv
COPY requirements.txt .
RUN /venv/bin/pip install --no-cache-dir -r requirements.txt

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /app cosmo
WORKDIR /app
COPY --from=build /venv /venv
COPY manage.py ./
COPY backend backend
COPY api api
COPY deploy deploy
# collectstatic needs valid settings but no real secrets; these are temporary.
RUN DJANGO_ENVIRONMENT=staging DEBUG=off SECRET_KEY=$(head -c 64 /dev/urandom | base64 -w 0) \
    JWT_SIGNING_KEY=$(head -c 64 /dev/urandom | base64 -w 0) ALLOWED_HOSTS=localhost DATABASE_URL=sqlite:////tmp/none \
    LOGS_DIR=/tmp/logs PUBLIC_BASE_URL=http://localhost DEFAULT_FROM_EMAIL=cosmo@localhost EMAIL_HOST=localhost TRUSTED_PROXY_COUNT=0 \
    /venv/bin/python manage.py collectstatic --noinput --verbosity 0 \
    && install -d -o cosmo logs
USER cosmo
# Huge pages for password hashing (docs/decisions/0010-huge-pages.md).
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 WEB_BIND=0.0.0.0:8000 GLIBC_TUNABLES=glibc.malloc.hugetlb=1
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/api/health/', timeout=3)"]
CMD ["gunicorn", "-c", "deploy/gunicorn.conf.py", "backend.wsgi:application"]
