"""`manage.py validate_dataset FILE… [--format F] [--json]`: what Apex says of files, before they are brought."""

import json

from django.core.management.base import BaseCommand

from datasets_app.reading import check_file
from datasets_app.reading.report import Report

SHOWN = 20
VERDICTS = {
    "accept": "can be used",
    "warn": "can be used, and is worth a look",
    "reject": "has faults to mend",
}


class Command(BaseCommand):
    help = "Checks files of examples and says what is wrong, line by line. Ends with 0 whatever the verdict."
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser):
        parser.add_argument("files", nargs="+", metavar="FILE")
        parser.add_argument("--format", help="What the rows are, when it is not to be recognised.")
        parser.add_argument("--json", action="store_true", help="One JSON object for each file, on one line.")

    def handle(self, *args, files, format, **options):
        for name in files:
            report = check_file(name, name, format=format)
            if options["json"]:
                self.stdout.write(json.dumps(report.summary(), ensure_ascii=True))
            else:
                self.say(report)

    def say(self, report: Report) -> None:
        self.stdout.write(f"{report.file}: {VERDICTS[report.verdict]} ({report.verdict})")
        rows = f"{report.rows:,} {'example' if report.rows == 1 else 'examples'}"
        self.stdout.write(f"  {rows}, read as {report.format} in {report.container}")
        for reason, count in report.skipped.items():
            self.stdout.write(f"  {count:,} {reason} were skipped, as they should be")
        self.list("error", report.errors, report.error_count)
        self.list("warning", report.warnings, report.warning_count)

    def list(self, severity: str, faults: list[dict], count: int) -> None:
        for fault in faults[:SHOWN]:
            place = f"line {fault['line']:,}" if fault["line"] else "the file"
            self.stdout.write(f"  {severity}, {place} [{fault['code']}]: {fault['message']}")
            if fault["found"]:
                self.stdout.write(f"      found: {fault['found']}")
        if count > SHOWN:
            self.stdout.write(f"  … and {count - SHOWN:,} more ({severity}s); --json lists them")
