"""`manage.py up`: start everything, watch it, stop it with Ctrl-C."""

import os
import signal
import sys
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, OutputWrapper
from django.db import connections

from apex.processes import broker, checks, child, places, plan, prepare
from apex.processes.supervisor import Supervisor


class Command(BaseCommand):
    help = "Start the broker, web server, workers, scheduler and serving; watch them; stop them on Ctrl-C."
    requires_system_checks = []  # `make check` runs them; here they would only delay the start

    def add_arguments(self, parser):
        one = parser.add_mutually_exclusive_group()
        one.add_argument("--prepare", action="store_true", help="only migrate, collect files, make the admin")
        one.add_argument(
            "--only", metavar="NAME", help="become one process of the plan, such as web or worker-cpu"
        )

    def handle(self, *args, prepare: bool, only: str | None, **options):
        data = Path(settings.DATA_DIR)
        try:
            if prepare:
                self._prepare()
            elif only:
                self._become(only, data)
            else:
                code = self._run(data)
                if code:
                    sys.exit(code)
        except checks.CannotStart as error:
            raise CommandError(str(error)) from error
        except broker.BrokerNotFound as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(str(checks.explain(error, data))) from error

    def _run(self, data: Path) -> int:
        lock = checks.take_lock(data)
        checks.check_port(settings.HOST, settings.PORT)
        with lock:
            self._say("Apex is starting ...")
            url = f"http://{_shown_host(settings.HOST)}:{settings.PORT}/"
            supervisor = Supervisor(
                self._plan(data),
                data=data,
                environment=environment(data),
                url=url,
                say=self._say,
                on_ready=lambda: self._say(f"Apex is ready: {url}  (Ctrl-C stops it; logs: {data / 'logs'})"),
            )
            supervisor.handle_signals()
            if os.environ.get("APEX_STOP_WITH_PARENT"):
                child.die_with_parent(os.getppid(), signal.SIGTERM)
            try:
                if not broker.given_url() and not supervisor.start_first():
                    return 0 if supervisor.stop_requests else 1
                self._prepare()
                return supervisor.run()
            finally:
                supervisor.stop()
                places.remove_runtime_dir(data)
                self._say("Everything is stopped.")

    def _plan(self, data: Path) -> list[plan.Process]:
        places.make_runtime_dir(data)
        site = plan.site_processes(
            data=data,
            host=settings.HOST,
            port=settings.PORT,
            training_queues=settings.TRAINING_QUEUES,
            serving_url=settings.EMBEDDED_URL,
            host_header=_known_host(),
            vllm_at=(settings.VLLM["host"], settings.VLLM["port"]) if settings.VLLM["base_model"] else None,
            trusted_proxies=settings.TRUSTED_PROXIES,
            chroma_at=(settings.CHROMA_PROGRAM, settings.CHROMA_PORT) if settings.CHROMA_PROGRAM else None,
        )
        given = broker.given_url()
        if given is None:
            return [plan.broker_process(broker.find_server(), data), *site]
        if not broker.answers(given, timeout=3):
            raise checks.CannotStart(f"No broker answers at APEX_REDIS_URL ({_without_password(given)}).")
        return site

    def _prepare(self) -> None:
        prepare.prepare(self._say)
        connections.close_all()

    def _become(self, name: str, data: Path) -> None:
        """Replace this process by one of the plan, for containers and service managers."""
        processes = {process.name: process for process in self._plan(data)}
        if name not in processes:
            raise CommandError(f"There is no process {name!r}; there are {', '.join(processes)}.")
        command = processes[name].command
        os.execve(command[0], list(command), environment(data))

    def _say(self, line: str) -> None:
        try:
            self.stdout.write(line)
            self.stdout.flush()
        except OSError:  # the terminal was closed: there is nobody to talk to, but much to stop
            self.stdout = OutputWrapper(open(os.devnull, "w"))  # noqa: SIM115 - for the rest of our life


def environment(data: Path) -> dict[str, str]:
    """Return the environment of every process: ours, with the data directory and the broker made explicit.

    The first administrator's password is for us only.
    """
    return {
        **{name: value for name, value in os.environ.items() if name != "APEX_ADMIN_PASSWORD"},
        "APEX_DATA_DIR": str(data),
        "APEX_REDIS_URL": broker.redis_url(data),
        "PYTHONUNBUFFERED": "1",
    }


def _known_host() -> str:
    """Return a host name that the site answers to, for asking `/healthz` over the loopback address."""
    plain = [host for host in settings.ALLOWED_HOSTS if not host.startswith((".", "*"))]
    return plain[0] if plain else "localhost"


def _shown_host(host: str) -> str:
    """Return the host for a link: an address that means "every interface" is no place to go to."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
