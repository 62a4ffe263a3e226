#!/usr/bin/env bash
# Installs what the end-to-end tests need on a Debian machine, only where it is missing: servers and clients through apt, Python packages into e2e/.venv.
# Behind a proxy, http_proxy and https_proxy reach apt and pip; pip's own variables (PIP_INDEX_URL, PIP_CERT) hold as well.
set -euo pipefail
cd "$(dirname "$0")"
# Servers may stand where an ordinary user does not look.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

fail() { echo "e2e: $*" >&2; exit 1; }

missing() { # names the packages of which a command is not there
  local package commands command
  while read -r package commands; do
    for command in $commands; do
      command -v "$command" >/dev/null || { echo "$package"; break; }
    done
  done <<'COMMANDS'
redis-server redis-server
redis-tools redis-cli
radosgw radosgw radosgw-admin
ceph-mon ceph-mon
ceph-osd ceph-osd
ceph-common ceph
ceph-base monmaptool
rclone rclone
curl curl
openssl openssl
util-linux setpriv
COMMANDS
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

as_root() { # runs a command with what sudo would drop of the environment
  local keep=(DEBIAN_FRONTEND=noninteractive) name
  for name in http_proxy https_proxy no_proxy; do
    [ -z "${!name-}" ] || keep+=("$name=${!name}")
  done
  if [ "$(id -u)" = 0 ]; then env "${keep[@]}" "$@"; else sudo env "${keep[@]}" "$@"; fi
}

install() ( # in a shell of its own, which removes what it has put up, however it ends
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    # The packages' own services are not wanted: the tests start private ones.
    trap 'as_root rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
  fi
  as_root apt-get update -qq || echo "e2e: apt-get update failed; going on with the lists that are there" >&2
  as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
)

packages=$(missing)
if [ -n "$packages" ]; then
  names=$(echo $packages)
  command -v apt-get >/dev/null || fail "install these first (names as in Debian): $names"
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || fail "as root: apt-get install --no-install-recommends $names"
  echo "e2e: installing $names"
  install $packages
  packages=$(missing)
  [ -z "$packages" ] || fail "still missing after their installation: $(echo $packages) (python3 is $(command -v python3))"
fi

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "needs Python 3.11 or later; $(command -v python3) is $(python3 --version)"
stamp=.venv/requirements.sha256
# A folder made by a Python that is gone, or half made, is made anew.
if ! sha256sum --check --status "$stamp" 2>/dev/null || ! .venv/bin/python -c 'import boto3, pytest' 2>/dev/null; then
  python3 -m venv --clear .venv
  .venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
  sha256sum requirements.txt >"$stamp"
fi
