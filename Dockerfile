# syntax=docker/dockerfile:1
# The page, without a GPU:
#
#   docker build -t mambamef .
#   docker run --rm --read-only --tmpfs /tmp --tmpfs /data:uid=10001,mode=0700,size=3g \
#       --cap-drop ALL --security-opt no-new-privileges --pids-limit 256 --memory 6g -p 127.0.0.1:7860:7860 mambamef
#
# For the same base every time, add the digest that `docker pull` prints: FROM python:3.12-slim-bookworm@sha256:…
FROM python:3.12-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860 \
    GRADIO_TEMP_DIR=/data/pictures \
    HF_HUB_OFFLINE=1 \
    HOME=/data \
    MPLCONFIGDIR=/data/matplotlib \
    NUMBA_CACHE_DIR=/data/numba

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt

COPY app.py ./
COPY fusion fusion
COPY weights weights
COPY examples examples

RUN groupadd --system --gid 10001 page \
    && useradd --system --uid 10001 --gid page --home-dir /data --shell /usr/sbin/nologin page \
    && mkdir --mode 0700 /data \
    && chown page:page /data
USER 10001:10001
VOLUME /data
EXPOSE 7860

HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["python", "app.py"]
