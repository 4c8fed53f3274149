#!/bin/sh
# Makes .venv and installs Apex into it: `sh apex/processes/install.sh train` (to run it) or `train,dev` (to work
# on it). Does nothing when the dependencies in pyproject.toml and constraints.txt are as at the last time.
set -eu

extras=${1:-train}
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=$root/.venv
stamp=$venv/.installed
needed_mb=4000

stop() { # one line for a person, and an end
    printf '%s\n' "$*" >&2
    exit 1
}

fits() { # is this a Python that Apex runs on?
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

find_python() { # prints the first one that fits, or nothing
    for name in ${PYTHON:-python3.11 python3.12 python3.13 python3 python}; do
        path=$(command -v "$name" 2>/dev/null) || continue
        if fits "$path"; then
            printf '%s' "$path"
            return
        fi
    done
}

fingerprint() {
    "$1" - "$root/pyproject.toml" "$root/constraints.txt" <<'PYTHON'
import hashlib, pathlib, sys, tomllib

project = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())["project"]  # the tools' settings change nothing
contents = repr(sorted(project.items())) + pathlib.Path(sys.argv[2]).read_text()
print(sys.version_info[:2], hashlib.sha256(contents.encode()).hexdigest())
PYTHON
}

build_scanner() { # optional: without a compiler examples are checked the slow way, and this says so
    "$venv/bin/python" "$root/datasets_app/scanning/build.py" || true
}

# 1. Is everything there already?
if [ -x "$venv/bin/python" ] && fits "$venv/bin/python" && [ -f "$stamp" ]; then
    print=$(fingerprint "$venv/bin/python")
    case $(cat "$stamp") in
    "$print train,dev") build_scanner; exit 0 ;;
    "$print train") [ "$extras" = train ] && { build_scanner; exit 0; } ;;
    esac
fi

# 2. A Python that fits.
python=$(find_python)
if [ -z "$python" ]; then
    found=$(command -v "${PYTHON:-python3}" 2>/dev/null || true)
    if [ -n "$found" ]; then
        version=$("$found" -c 'import platform; print(platform.python_version())' 2>/dev/null || echo unknown)
        stop "Apex needs Python 3.11, 3.12 or 3.13; $found is $version. Install one of them (Debian, Ubuntu: \
apt install python3.11 python3.11-venv), or name one: make up PYTHON=/path/to/python3.12"
    fi
    stop "Apex needs Python 3.11, 3.12 or 3.13; none was found. Install one (Debian, Ubuntu: apt install python3 \
python3-venv), or name one: make up PYTHON=/path/to/python3.12"
fi

# 3. Room on the disk.
free_mb=$(df -Pk "$root" | awk 'NR == 2 { print int($4 / 1024) }')
if [ "$free_mb" -lt "$needed_mb" ]; then
    stop "The disk that holds $root has $free_mb MB free; installing needs $needed_mb MB. Make room first."
fi

# 4. The virtual environment.
if [ ! -x "$venv/bin/python" ] || ! fits "$venv/bin/python"; then
    echo "Making .venv with $("$python" --version) ..."
    "$python" -m venv --clear "$venv" >/dev/null || stop "$python cannot make a virtual environment. \
Debian, Ubuntu: apt install python3-venv"
fi
rm -f "$stamp"

# 5. torch first: a bare "torch" among the others would bring another version.
pip="$venv/bin/python -m pip --disable-pip-version-check"
echo "Installing torch 2.13.0 (the largest part; some minutes) ..."
$pip install -q "torch==2.13.0" || stop "torch could not be installed. The lines above say why; is a package \
index reachable? (A proxy or mirror is set with PIP_INDEX_URL.)"
echo "Installing the rest ..."
(cd "$root" && $pip install -q -c constraints.txt -e ".[$extras]") || stop "Installing stopped. The lines above \
say why; run the command again when it is mended."

# 6. The fast scanner of examples.
build_scanner

# 7. The mark for next time, with what was asked for.
printf '%s %s\n' "$(fingerprint "$venv/bin/python")" "$extras" >"$stamp"
