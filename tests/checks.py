"""`make check`: everything that can be said about the code without running it. All checks run; one line each."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "docs" / "api-schema.yml"


def main() -> int:
    """Run all checks and return 1 if one of them has something to say."""
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="apex-check-") as data:
        os.environ["APEX_DATA_DIR"] = data
        # Whoever checks may have a database or broker of their own in the environment; no check needs one.
        os.environ.pop("DATABASE_URL", None)
        results = [run(name, check) for name, check in CHECKS.items()]
    return 0 if all(results) else 1


def run(name: str, check: Callable[[], str]) -> bool:
    """Run one check, print how it went, and return whether it was content."""
    begun = time.monotonic()
    complaint = check()
    print(f"{'ok  ' if not complaint else 'FAIL'} {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    if complaint:
        print(complaint, flush=True)
    return not complaint


def command(*words: str) -> Callable[[], str]:
    """Return a check that runs a command of our Python: content if it exits with 0, else its output."""

    def check() -> str:
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        return (
            ""
            if done.returncode == 0
            else (done.stdout + done.stderr).strip() or f"exit code {done.returncode}"
        )

    return check


def import_contracts() -> str:
    """Check who imports whom, by `.importlinter`."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).strip()


def templates() -> str:
    """Check that every template of ours compiles."""
    return django_script(
        "from django.conf import settings\n"
        "from django.template import TemplateSyntaxError\n"
        "from django.template.loader import get_template\n"
        "root = settings.BASE_DIR / 'templates'\n"
        "for path in sorted(root.rglob('*')):\n"
        "    if path.suffix in ('.html', '.txt', '.svg', '.md'):\n"
        "        try:\n"
        "            get_template(str(path.relative_to(root)))\n"
        "        except (TemplateSyntaxError, UnicodeDecodeError) as error:\n"
        "            print(f'{path.relative_to(root)}: {error}')\n"
    )


def api_schema() -> str:
    """Check that the API is what `docs/api-schema.yml` says: changes to it are seen, and only add."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "schema.yml"
        words = ("manage.py", "spectacular", "--file", str(fresh), "--fail-on-warn", "--validate")
        if complaint := command(*words)():
            return complaint
        if not SCHEMA.exists():
            return f"{SCHEMA.relative_to(ROOT)} is missing; write it with `make schema`"
        if gone := sorted(promised(committed_schema()) - promised(fresh.read_text())):
            return "The API only ever gains; these are gone:\n" + "\n".join(gone)
        if fresh.read_text() != SCHEMA.read_text():
            difference = subprocess.run(
                ["diff", "-u", SCHEMA, fresh], capture_output=True, text=True, check=False
            ).stdout.splitlines()
            return "\n".join([*difference[:60], "The API has changed: look at it, then `make schema`."])
    return ""


def committed_schema() -> str:
    """Return the schema as the last commit has it, or nothing where there is no commit or no git."""
    words = ["git", "show", f"HEAD:{SCHEMA.relative_to(ROOT)}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def promised(schema: str) -> set[str]:
    """Return every call and every field that a schema names: "GET /api/v1/adapters/", "Adapter.name"."""
    import yaml

    document = yaml.safe_load(schema) or {}
    calls = {
        f"{method.upper()} {path}"
        for path, methods in document.get("paths", {}).items()
        for method in methods
        if method != "parameters"
    }
    fields = {
        f"{name}.{field}"
        for name, described in document.get("components", {}).get("schemas", {}).items()
        for field in described.get("properties", {})
    }
    return calls | fields


def django_script(script: str) -> str:
    """Run a script with Django set up; what it prints is the complaint."""
    environment = {"DJANGO_SETTINGS_MODULE": "apex.settings.active", **os.environ}
    done = subprocess.run(
        [sys.executable, "-c", "import django\ndjango.setup()\n" + script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()


CHECKS: dict[str, Callable[[], str]] = {
    "style (ruff)": command("-m", "ruff", "check", "-q", "--output-format", "concise", "."),
    "shape (ruff format; `make format` mends it)": command(
        "-m", "ruff", "format", "--check", "--output-format", "concise", "."
    ),
    "types (mypy)": command("-m", "mypy"),
    "import contracts": import_contracts,
    "Django's own checks": command("manage.py", "check", "--fail-level", "WARNING"),
    "missing migrations": command("manage.py", "makemigrations", "--check", "--dry-run"),
    "templates compile": templates,
    "templates (djlint)": command("-m", "djlint", "templates", "--lint", "--quiet"),
    "API schema": api_schema,
}

if __name__ == "__main__":
    sys.exit(main())
