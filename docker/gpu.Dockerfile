# stn-deploy on NVIDIA GPUs: ONNX Runtime's CUDA provider, and TensorRT from the base image. Build from the root:
#   docker build -f docker/gpu.Dockerfile -t stn-deploy:gpu .
# onnxruntime-gpu in constraints.txt is built for CUDA 13, and so is this base image. Another base image needs the
# onnxruntime-gpu of its CUDA: --build-arg BASE=... and its version in constraints.txt.
ARG PYTHON_VERSION=3.12
ARG BASE=nvcr.io/nvidia/tensorrt:25.08-py3

FROM python:${PYTHON_VERSION}-slim AS builder
WORKDIR /src
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt build
COPY pyproject.toml MANIFEST.in README.md CHANGELOG.md LICENSE ./
COPY stn_deploy ./stn_deploy
RUN python -m build --outdir /wheels && rm /wheels/*.tar.gz

FROM ${BASE}
# What opencv-python loads from the system, and venv, which Debian's Python leaves out.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 python3-venv \
    && rm -rf /var/lib/apt/lists/*
# An environment of its own that still sees the tensorrt of the base image; the base image's own pins stay out of it.
ENV PIP_CONSTRAINT=""
ENV PATH="/opt/stn-deploy/venv/bin:${PATH}"
WORKDIR /opt/stn-deploy
RUN python3 -m venv --system-site-packages venv
COPY constraints.txt ./
COPY --from=builder /wheels ./wheels
RUN pip install --no-cache-dir -c constraints.txt "$(echo wheels/stn_deploy-*.whl)[gpu]" && rm -r wheels
RUN useradd --create-home --uid 10001 stn
USER stn
WORKDIR /data
ENTRYPOINT ["stn-deploy"]
CMD ["--help"]
