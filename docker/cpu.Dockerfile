# stn-deploy on the CPU: ONNX Runtime and OpenCV, no torch. Build from the root of the checkout:
#   docker build -f docker/cpu.Dockerfile -t stn-deploy .
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS builder
WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt build
COPY pyproject.toml MANIFEST.in README.md CHANGELOG.md LICENSE ./
COPY stn_deploy ./stn_deploy
RUN python -m build --outdir /wheels && rm /wheels/*.tar.gz

FROM python:${PYTHON_VERSION}-slim
# What opencv-python loads from the system.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/stn-deploy
COPY constraints.txt ./
COPY --from=builder /wheels ./wheels
RUN pip install --no-cache-dir -c constraints.txt "$(echo wheels/stn_deploy-*.whl)[runtime]" && rm -r wheels
RUN useradd --create-home --uid 10001 stn
USER stn
WORKDIR /data
ENTRYPOINT ["stn-deploy"]
CMD ["--help"]
