#!/usr/bin/env bash
# Installs what the end-to-end tests need on a Debian machine, only where it is missing: servers and clients through apt, Python packages into e2e/.venv.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
need() { # need PACKAGE COMMAND...: the package is missing unless every command is there
  local package=$1 command; shift
  for command in "$@"; do
    if ! command -v "$command" >/dev/null 2>&1; then missing+=("$package"); return; fi
  done
}
need redis-server redis-server redis-cli
need radosgw radosgw radosgw-admin
need ceph-mon ceph-mon
need ceph-osd ceph-osd
need ceph-common ceph
need ceph-base monmaptool
need rclone rclone
need curl curl
need util-linux setpriv
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

if [ ${#missing[@]} -gt 0 ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "e2e: install these first (names as in Debian): ${missing[*]}" >&2; exit 1
  fi
  sudo=""; if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
  echo "e2e: installing ${missing[*]}"
  # The packages' own services are not wanted: the tests start private ones.
  policy=/usr/sbin/policy-rc.d; made=""
  if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null; $sudo chmod 755 $policy; made=1; fi
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || { [ -z "$made" ] || $sudo rm -f $policy; exit 1; }
  [ -z "$made" ] || $sudo rm -f $policy
fi

stamp=.venv/requirements.sha256
if ! sha256sum --check --status "$stamp" 2>/dev/null; then
  python3 -m venv .venv
  .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
  sha256sum requirements.txt >"$stamp"
fi
