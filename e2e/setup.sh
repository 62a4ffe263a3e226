#!/usr/bin/env bash
# Installs what the end-to-end tests need on a Debian machine, only where it is missing: servers and clients through apt, Python packages into e2e/.venv.
# The tours in other languages (e2e/tours) are built where their toolchain is there: Node, Go, and Java with Maven are not installed.
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
s3cmd s3cmd
restic restic
openssl openssl
util-linux setpriv
faketime faketime
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

made() { # whether what a stamp stands for was made from these files as they are now
  sha256sum --check --status "$1" 2>/dev/null
}
mkdir -p .tools

# s3fs needs another botocore than boto3's, so it lives in a folder of its own.
if ! made .tools/s3fs.sha256; then
  rm -rf .tools/s3fs
  .venv/bin/pip install --quiet --disable-pip-version-check --no-warn-conflicts --target .tools/s3fs -r tours/python/s3fs.txt
  sha256sum tours/python/s3fs.txt >.tools/s3fs.sha256
fi

left_out() { # a toolchain that is there and cannot do it is as one that is not, but where all must run
  [ -z "${S3GATEWAY_E2E_ALL_TOURS-}" ] || fail "the tour in $1 could not be made"
  echo "e2e: the tour in $1 could not be made and is left out; it wants $2" >&2
}

make_js() {
  (cd tours/js && npm ci --silent) && sha256sum tours/js/package.json tours/js/package-lock.json >.tools/js.sha256
}
if command -v npm >/dev/null && command -v node >/dev/null && ! { made .tools/js.sha256 && [ -d tours/js/node_modules ]; }; then
  make_js || left_out JavaScript "Node 20"
fi

make_go() {
  (cd tours/go && go build -trimpath -buildvcs=false -o ../../.tools/go-tour .) && sha256sum tours/go/* >.tools/go.sha256
}
if command -v go >/dev/null && ! { made .tools/go.sha256 && [ -x .tools/go-tour ]; }; then
  make_go || left_out Go "Go 1.24"
fi

# Maven only fetches; javac makes the rest, which spares some fifty plugins.
make_java() {
  rm -rf tours/java/target
  (
    cd tours/java &&
      mvn -q -B -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory=target/lib -DincludeScope=runtime &&
      javac -encoding UTF-8 -cp 'target/lib/*' -d target/classes src/*.java
  ) && sha256sum tours/java/pom.xml tours/java/src/* >.tools/java.sha256
}
if command -v mvn >/dev/null && command -v javac >/dev/null && ! { made .tools/java.sha256 && [ -d tours/java/target/classes ]; }; then
  make_java || left_out Java "a JDK of 11 or later, and Maven"
fi
