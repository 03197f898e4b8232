#!/usr/bin/env bash
# Checks what lies in this folder without a container engine: every file parses, every file named exists, and the
# Dockerfile's steps, carried out in a plain folder with a binary that is built already, give an image in which the
# entry point runs as the user named.
#   docker/check.sh target/release/augenmass
set -eu
cd "$(dirname "$0")/.."
binary=${1:?which binary? docker/check.sh target/release/augenmass}
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
chmod 755 "$room"
python3 docker/check.py "$binary" "$room"
