#!/bin/sh
# Installs Chromium from the distribution's packages if there is no browser that the tests can use.
set -eu

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if ! command -v apt-get >/dev/null 2>&1; then
    echo "The browser tests need Chromium. Install it with your system's package manager (macOS: brew install \
--cask chromium) and run this again." >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root=sudo
else
    echo "The browser tests need Chromium. Install it once: sudo apt-get install chromium" >&2
    exit 1
fi
echo "Installing Chromium for the browser tests ..."
$as_root apt-get update -q >/dev/null
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -q -y --no-install-recommends chromium fonts-dejavu-core >/dev/null
