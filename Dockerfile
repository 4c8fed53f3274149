# One image for every process of docker-compose.yml.

# The fast scanner of examples is compiled where there is a compiler; the image itself needs none.
FROM python:3.11 AS scanner
COPY datasets_app/scanning /scanning
RUN python /scanning/build.py

FROM python:3.11-slim

RUN useradd --create-home apex && mkdir /data && chown apex /data
WORKDIR /app

# The packages change seldom, the code often: packages first.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --no-cache-dir "torch==2.13.0" && pip install --no-cache-dir -c constraints.txt ".[train]"
COPY . .
COPY --from=scanner /scanning/scan-*.so datasets_app/scanning/

USER apex
ENV APEX_DATA_DIR=/data PYTHONUNBUFFERED=1
VOLUME /data
ENTRYPOINT ["python", "manage.py", "up"]
