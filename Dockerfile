# Two images of one code. `web` runs everything that holds no model: pages, API, default worker, scheduler. `gpu` has
# PyTorch besides, for training and answering. Both run as a user without rights and hold no secret: keys and passwords
# come with the environment, data with the volume /data. Which process runs is the command (docs/deploy.md).

# The fast scanner of examples is compiled where there is a compiler.
FROM python:3.11-trixie AS scanner
COPY datasets_app/scanning /scanning
RUN python /scanning/build.py

FROM python:3.11-slim-trixie AS base
# The number is fixed, so that a volume keeps its owner from one image to the next.
RUN useradd --create-home --uid 10001 apex && mkdir /data && chown apex:apex /data && chmod 0700 /data
WORKDIR /app
ENV APEX_DATA_DIR=/data PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The packages change seldom, the code often: packages first.
COPY pyproject.toml constraints.txt README.md LICENSE ./

FROM base AS web
# `manage.py backup` asks the programs of PostgreSQL, which must be no older than the server (trixie has 17).
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-client && rm -rf /var/lib/apt/lists/*
RUN pip install -c constraints.txt .
COPY . .
COPY --from=scanner /scanning/scan-*.so datasets_app/scanning/
USER apex
VOLUME /data
ENTRYPOINT ["python", "manage.py", "up"]

FROM base AS gpu
# Triton compiles small launchers when a model runs.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
# PyTorch alone first: it is the largest layer, and changes least.
RUN pip install -c constraints.txt torch
RUN pip install -c constraints.txt ".[train]"
COPY . .
COPY --from=scanner /scanning/scan-*.so datasets_app/scanning/
USER apex
VOLUME /data
ENTRYPOINT ["python", "manage.py", "up"]
