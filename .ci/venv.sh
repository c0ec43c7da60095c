#!/bin/sh
# Debian ships Python without ensurepip: get the venv module from the system's packages when we may, else say how.
set -e
rm -rf .venv
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	apt-get update -qq && apt-get install -y -qq "python$version-venv" >/dev/null
	exec "$1" -m venv .venv
fi
if "$1" -m pip --version >/dev/null 2>&1; then
	"$1" -m pip install -q --user virtualenv && exec "$1" -m virtualenv -q .venv
fi
echo "Python's venv module is missing. Install it and try again: apt-get install python3-venv" >&2
exit 1
