# The page, without a GPU. It needs no privilege, writes only to /data and /tmp, and listens on one port:
#
#   docker build -t mambamef .
#   docker run --rm --read-only --tmpfs /tmp --tmpfs /data:uid=10001,mode=0700,size=3g --cap-drop ALL \
#       --security-opt no-new-privileges --pids-limit 256 --memory 6g -p 127.0.0.1:7860:7860 mambamef
#
# The base is pinned by its tag. For the same bytes every time, add the digest that `docker pull` prints, in both places:
# FROM python:3.12-slim-bookworm@sha256:...
FROM python:3.12-slim-bookworm AS build

WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY fusion fusion
COPY weights weights
COPY examples examples
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    MPLCONFIGDIR=/data/matplotlib \
    NUMBA_CACHE_DIR=/data/numba \
    GRADIO_TEMP_DIR=/data/pictures \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860

WORKDIR /app

# An index of CPU builds of PyTorch makes the image a quarter of the size: --build-arg PIP_EXTRA_INDEX_URL=...
ARG PIP_EXTRA_INDEX_URL
# The dependencies have a layer of their own, which stays when only the program changes.
COPY requirements.txt ./
RUN pip install --no-cache-dir --requirement requirements.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl
COPY app.py ./

RUN groupadd --system --gid 10001 page \
    && useradd --system --no-log-init --uid 10001 --gid page --home-dir /data --shell /usr/sbin/nologin page \
    && install --directory --owner page --group page --mode 0700 /data
USER 10001:10001
EXPOSE 7860

HEALTHCHECK --interval=30s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["python", "app.py"]
