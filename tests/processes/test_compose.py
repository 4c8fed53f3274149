"""docker-compose.yml, Dockerfile, .env.example and deploy/ against the code: no container engine is needed."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from apex.processes import plan, vllm_cpu
from serving.vllm_command import VllmServer
from tests.processes.test_docs import names_in_docs

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if service.get("image", "").startswith("apex-studio")}
# Keys that the compose specification knows and this file may use; a wrong one is a typing error.
SERVICE_KEYS = {
    "image", "build", "restart", "init", "security_opt", "cap_drop", "stop_grace_period", "volumes", "networks",
    "environment", "depends_on", "command", "entrypoint", "ports", "healthcheck", "deploy", "profiles", "shm_size",
}  # fmt: skip
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
# Of the images, set by no one here: NAME or NAME:-default or NAME:?message.
INTERPOLATED = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")
EXAMPLE = (ROOT / ".env.example").read_text()


def processes(tmp_path) -> dict[str, plan.Process]:
    listed = plan.site_processes(
        data=tmp_path,
        host="0.0.0.0",
        port=8000,
        training_queues=["gpu0", "cpu"],
        serving_url="http://serving:8101",
    )
    return {process.name: process for process in listed}


# --- docker-compose.yml by itself -------------------------------------------------------------------------------------


def test_only_keys_of_the_specification_are_used():
    assert set(COMPOSE) <= {"services", "networks", "volumes"} | {
        key for key in COMPOSE if key.startswith("x-")
    }
    for name, service in SERVICES.items():
        assert set(service) <= SERVICE_KEYS, name
        assert "image" in service, name
        assert set(service.get("healthcheck", {})) <= HEALTH_KEYS, name


def test_volumes_networks_and_services_that_are_named_exist():
    used = set()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).is_file(), f"{name}: {source}"
            else:
                used.add(source)
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}"
            else:
                assert (
                    how["condition"] == "service_completed_successfully"
                    and SERVICES[other]["restart"] == "no"
                )
    assert used == set(COMPOSE["volumes"])


def test_everything_that_stays_has_a_health_check():
    for name, service in SERVICES.items():
        if name != "prepare":
            first, *rest = service["healthcheck"]["test"]
            assert first in ("CMD", "CMD-SHELL") and rest, name
            assert service["restart"] in ("always", "unless-stopped"), name


def test_no_service_has_more_rights_than_it_needs():
    assert not re.search(r"privileged|network_mode|ipc:|pid:|cap_add|docker\.sock|user: *root", TEXT)
    for name in OURS:
        assert (
            SERVICES[name]["cap_drop"] == ["ALL"]
            and "no-new-privileges:true" in SERVICES[name]["security_opt"]
        )


def test_only_web_and_the_proxy_are_reached_from_outside_web_from_this_machine_alone():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"web", "caddy"}
    assert all(port.startswith("127.0.0.1:") for port in published["web"])
    assert COMPOSE["networks"]["inner"]["internal"] is True
    for name in ("vllm", "postgres", "redis"):
        assert SERVICES[name]["networks"] == ["inner"]


@pytest.mark.parametrize("part", ["import", "shell"])
def test_health_checks_are_programs_that_can_run(part):
    for name, service in SERVICES.items():
        kind, *words = service.get("healthcheck", {"test": ["CMD"]})["test"]
        if part == "import" and "-c" in words:
            compile(words[words.index("-c") + 1], name, "exec")
        if part == "shell" and kind == "CMD-SHELL":
            assert shlex.split(words[0].replace("$$", "$"))


# --- against the code ---------------------------------------------------------------------------------------------


def test_each_process_of_up_is_a_service_with_the_same_command(tmp_path):
    """`--only NAME` becomes the process of that name: the command itself is the plan's."""
    runs = {SERVICES[name]["command"][-1]: name for name in OURS if SERVICES[name]["command"][0] == "--only"}
    assert set(runs) == set(processes(tmp_path))
    assert {process.name for process in processes(tmp_path).values() if process.rests} == {
        each for each, service in runs.items() if SERVICES[service]["restart"] == "always"
    }
    assert SERVICES["prepare"]["command"] == ["--prepare"]
    for name in OURS - {"prepare"}:
        assert SERVICES[name]["depends_on"]["prepare"]["condition"] == "service_completed_successfully"


def test_workers_are_asked_by_the_name_that_they_have(tmp_path):
    for name in OURS:
        only = SERVICES[name]["command"][-1]
        if only.startswith("worker-"):
            command = processes(tmp_path)[only].command
            node = command[command.index("-n") + 1]
            assert f'"{node.replace("%h", "$$HOSTNAME")}"' in SERVICES[name]["healthcheck"]["test"][1]


def test_ports_and_addresses_are_those_of_the_processes(tmp_path):
    environment = SERVICES["web"]["environment"]
    web = processes(tmp_path)["web"].command
    assert SERVICES["web"]["ports"][0].endswith(f":{web[web.index('--port') + 1]}")
    assert environment["APEX_EMBEDDED_URL"] in processes(tmp_path)["serving"].command
    assert "127.0.0.1:8101/health" in SERVICES["serving"]["healthcheck"]["test"][-1]
    assert SERVICES["caddy"]["environment"]["SITE_UPSTREAM"] == "web:8000"


def test_what_computes_has_the_image_with_pytorch_and_the_rest_has_not():
    images = {name: (SERVICES[name]["image"], SERVICES[name]["build"]["target"]) for name in OURS}
    with_torch = {name for name, image in images.items() if image == ("apex-studio-gpu", "gpu")}
    assert with_torch == {"worker-gpu", "worker-cpu", "serving"}
    assert {images[name] for name in OURS - with_torch} == {("apex-studio-web", "web")}


def test_every_setting_is_in_the_docs_and_every_other_variable_in_the_example():
    known = names_in_docs() | {"APEX_PORT"}
    for service in SERVICES.values():
        assert {key for key in service.get("environment", {}) if key.startswith("APEX_")} <= known
    asked = {name for name, _kind, _words in INTERPOLATED.findall(TEXT)}
    assert {name for name in asked if name.startswith("APEX_")} <= known
    offered = set(re.findall(r"^#?([A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert asked - {"APEX_TRUSTED_PROXIES"} == offered
    needed = {name for name, kind, _words in INTERPOLATED.findall(TEXT) if kind == "?"}
    assert needed <= set(re.findall(r"^([A-Z_]+)=$", EXAMPLE, re.MULTILINE)), (
        "needed ones are empty, to be filled in"
    )


def test_no_secret_stands_in_a_file():
    for name in (
        "APEX_SECRET_KEY",
        "APEX_SECRET_KEYS",
        "POSTGRES_PASSWORD",
        "APEX_ADMIN_PASSWORD",
        "VLLM_API_KEY",
        "APEX_EMAIL_HOST_PASSWORD",
    ):
        for kind, words in [(kind, words) for key, kind, words in INTERPOLATED.findall(TEXT) if key == name]:
            assert kind == "?" or words == "", f"{name} has a default"
        assert re.search(rf"^#?{name}=$", EXAMPLE, re.MULTILINE)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"SECRET|PASSWORD|TOKEN|API_KEY", dockerfile)
    assert (
        ".env" in (ROOT / ".dockerignore").read_text().split()
        and ".env" in (ROOT / ".gitignore").read_text().split()
    )


def test_only_what_prepares_knows_the_administrators_password():
    assert [name for name in OURS if "APEX_ADMIN_PASSWORD" in SERVICES[name]["environment"]] == ["prepare"]


def test_only_who_sends_e_mail_knows_its_password_and_all_know_whether_it_is_sent():
    know = {name for name in OURS if "APEX_EMAIL_HOST_PASSWORD" in SERVICES[name]["environment"]}
    assert know == {"web", "worker-default"}
    for name in OURS:  # whoever tells the bell decides whether there is an e-mail, too
        assert "APEX_EMAIL_HOST" in SERVICES[name]["environment"], name


def test_vllm_starts_as_apex_itself_would_start_it():
    service = SERVICES["vllm"]
    ours = VllmServer(
        program=Path("vllm"),
        base_directory=Path("BASE"),
        served_name="NAME",
        host="0.0.0.0",
        port=8000,
        is_gpu=True,
    )
    words = service["entrypoint"] + [str(word) for word in service["command"]]
    own = {"--gpu-memory-utilization"}  # beside trainings
    assert options_of(words).keys() - own == options_of(ours.command()).keys()
    for name in options_of(ours.command()).keys() - {"--served-model-name"}:
        assert options_of(words)[name] == options_of(ours.command())[name], name
    for name, value in ours.environment({}).items():
        assert service["environment"][name] == value
    assert service["image"].endswith(f":v{vllm_cpu.VERSION}"), "the version that our own tests run on"


def test_vllm_reads_adapters_where_apex_has_them_and_changes_nothing():
    ours = set(SERVICES["web"]["volumes"])
    assert ours == {"data:/data"} and SERVICES["vllm"]["volumes"] == ["data:/data:ro"]
    devices = SERVICES["vllm"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert devices["driver"] == "nvidia" and devices["capabilities"] == ["gpu"]
    assert SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == [
        "gpu"
    ]


def options_of(words: list[str]) -> dict[str, str]:
    """`--name value` pairs; a flag has the value ""."""
    found = {}
    for place, word in enumerate(words):
        if word.startswith("--"):
            following = words[place + 1] if place + 1 < len(words) else "--"
            found[word] = "" if following.startswith("--") else following
    return found


# --- Dockerfile ---------------------------------------------------------------------------------------------------

KNOWN = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "USER", "VOLUME", "ENTRYPOINT"}


def stages() -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage, with those of the stage that it begins with."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text())
    found: dict[str, list[tuple[str, str]]] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        assert word in KNOWN, line
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            found[name] = list(found.get(image, [("FROM", image)]))
            current = found[name]
        else:
            current.append((word, rest.strip()))
    return found


def test_the_dockerfile_has_the_stages_that_compose_asks_for_on_pinned_images():
    found = stages()
    assert {SERVICES[name]["build"]["target"] for name in OURS} <= set(found)
    for instructions in found.values():
        assert re.fullmatch(r"python:3\.11(-slim)?-trixie", instructions[0][1])


def test_everything_that_is_copied_is_there():
    found = stages()
    ignored = (ROOT / ".dockerignore").read_text().split()
    for instructions in found.values():
        for word, rest in instructions:
            if word != "COPY":
                continue
            words = rest.split()
            if words[0].startswith("--from="):
                assert words[0].removeprefix("--from=") in found
                continue
            for source in words[:-1]:
                assert (ROOT / source).exists() and source not in ignored, source
    assert (ROOT / "datasets_app/scanning/build.py").exists()


@pytest.mark.parametrize("target", ["web", "gpu"])
def test_an_image_runs_up_as_a_user_without_rights_from_pinned_packages(target):
    instructions = stages()[target]
    order = [word for word, _rest in instructions]
    assert order[-1] == "ENTRYPOINT" and instructions[-1][1] == '["python", "manage.py", "up"]'
    assert instructions[order.index("USER")][1] == "apex"
    assert "RUN" not in order[order.index("USER") :], "nothing is installed by the user that runs"
    for word, rest in instructions:
        if word == "RUN" and "pip install" in rest:
            assert "-c constraints.txt" in rest, rest
    assert any(word == "ENV" and "APEX_DATA_DIR=/data" in rest for word, rest in instructions)


def test_torch_is_in_the_image_that_computes_only():
    installs = {
        name: " ".join(rest for word, rest in stages()[name] if word == "RUN") for name in ("web", "gpu")
    }
    assert "torch" in installs["gpu"] and ".[train]" in installs["gpu"]
    assert "torch" not in installs["web"] and "[train]" not in installs["web"]
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)


# --- proxies ------------------------------------------------------------------------------------------------------


def test_the_proxies_let_through_what_apex_takes_and_streams():
    nginx, caddy = (ROOT / "deploy/nginx.conf").read_text(), (ROOT / "deploy/Caddyfile").read_text()
    wanted = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert int(re.search(r"client_max_body_size (\d+)m;", nginx)[1]) * 1024**2 >= wanted
    assert int(re.search(r"max_size (\d+)MB", caddy)[1]) * 1000**2 >= wanted
    for line in ("proxy_http_version 1.1;", "proxy_buffering off;", "proxy_request_buffering off;"):
        assert line in re.sub(r" +", " ", nginx)
    assert re.search(r"proxy_set_header Upgrade +\$http_upgrade", nginx)
    # Set anew, not added to: a visitor's own words would be believed otherwise.
    assert re.search(r"X-Forwarded-For +\$remote_addr", nginx) and "proxy_add_x_forwarded_for" not in nginx
    assert "flush_interval -1" in caddy
    assert nginx.count("{") == nginx.count("}") and caddy.count("{") == caddy.count("}")


def test_only_named_proxies_are_believed():
    plain = plan.web("0.0.0.0", 8000).command
    assert "--no-proxy-headers" in plain and "--forwarded-allow-ips" not in plain
    named = plan.web("0.0.0.0", 8000, trusted_proxies="10.0.0.0/8,::1").command
    assert "--no-proxy-headers" not in named
    assert named[named.index("--forwarded-allow-ips") + 1] == "10.0.0.0/8,::1"
    subnet = COMPOSE["networks"]["edge"]["ipam"]["config"][0]["subnet"]
    assert SERVICES["web"]["environment"]["APEX_TRUSTED_PROXIES"].endswith(f":-{subnet}}}")
