"""`manage.py serve_vllm`: become a vLLM for one base model, started as Apex needs it."""

import os
import shlex

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from serving.local_vllm import CannotServe, local_server, note_node


class Command(BaseCommand):
    help = (
        "Serve a base model and its adapters with vLLM, in the foreground; `manage.py up` starts it by itself where "
        "APEX_VLLM_BASE_MODEL is set. Ctrl-C stops it. The other APEX_VLLM_ settings are in docs/operations.md."
    )
    requires_system_checks = []

    def add_arguments(self, parser):
        parser.add_argument(
            "--base-model", default="", help="a base model of the catalogue, such as apex-demo"
        )
        parser.add_argument(
            "--print",
            action="store_true",
            dest="is_dry",
            help="only print the command, to start it elsewhere",
        )

    def handle(self, *args, base_model: str, is_dry: bool, **options):
        try:
            server = local_server(base_model)
        except CannotServe as problem:
            raise CommandError(str(problem)) from problem
        if is_dry:
            settings = [f"{name}={shlex.quote(value)}" for name, value in server.environment({}).items()]
            self.stdout.write(" ".join([*settings, shlex.join(server.command())]))
            return
        note_node(server)
        connections.close_all()
        self.stdout.write(
            f"vLLM for {server.served_name} at {server.url}, {server.adapters} adapters at once"
        )
        self.stdout.flush()
        command = server.command()
        os.execve(command[0], command, server.environment())
