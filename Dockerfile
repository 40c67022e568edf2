# The container that Dataflow's, Flink's and any other portable engine's workers run Tracklore in:
#
#   docker build --tag REGISTRY/tracklore:VERSION . && docker push REGISTRY/tracklore:VERSION
#
# FFmpeg, libsndfile and libsoxr come inside the wheels; no package of the system's is needed.
FROM apache/beam_python3.11_sdk:2.77.0

WORKDIR /opt/tracklore
COPY requirements.lock ./
# No development tool is left out of the lock: one set of pins for all, every file against its hash.
RUN python -m pip install --no-cache-dir --require-hashes --requirement requirements.lock

COPY pyproject.toml README.md LICENSE tracklore.py ./
COPY schemas ./schemas
COPY pipelines ./pipelines
COPY train ./train
COPY manifests ./manifests
RUN python -m pip install --no-cache-dir --no-deps --no-build-isolation .

# What a worker would else find missing at its first track.
RUN python -c "import av, soundfile, soxr, torchaudio, gcsfs, pipelines.task_transform"

# Beam's own entry point starts the worker.
ENTRYPOINT ["/opt/apache/beam/boot"]
