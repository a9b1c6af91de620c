# The operator's image: docker build -t headstay/operator:0.1.0 .
# Any Python from 3.11 on, on glibc: --build-arg BASE=my-registry/python:3.12-slim
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements-operator.lock ./
RUN python -m venv --without-pip /opt/headstay \
 && python -m pip --python /opt/headstay/bin/python install --no-cache-dir --disable-pip-version-check \
      --only-binary=:all: --require-hashes -r requirements-operator.lock
COPY src/headstay /tmp/headstay
# Only what the operator imports: its packages are 18 MB, those of the local Kubernetes and the command line 151.
RUN site=$(/opt/headstay/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
 && mkdir "$site/headstay" && cd /tmp/headstay \
 && cp -r __init__.py controllers gcs keeper model plan runtime "$site/headstay/" \
 && /opt/headstay/bin/python -m compileall -q /opt/headstay

FROM ${BASE}
LABEL org.opencontainers.image.title="headstay/operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/headstay /opt/headstay
# Nothing is written: the root filesystem may be read-only, and the user any.
ENV PATH=/opt/headstay/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["python", "-m", "headstay.controllers"]
