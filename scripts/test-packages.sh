#!/bin/sh
# Installs the Debian packages that the tests need and that are missing, as root or by passwordless sudo.
# More packages may be named. Asks first, except in CI (CI=true). Starts no service: the tests start private servers of their own.
set -eu

packages='mariadb-server mariadb-client postgresql openssh-server openssh-client postfix
  mediawiki php-cli php-sqlite3 php-mysql php-pgsql php-mbstring php-xml php-intl wordpress
  podman runc redis-server slapd ldap-utils sqlite3 git zstd unzip age strace faketime xfsprogs e2fsprogs openssl restic jq binutils man-db systemd rsyslog
  ceph-mon ceph-osd ceph-common radosgw rclone'

missing=
for package in $packages "$@"; do
  state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) || state=
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command="apt-get install --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
  sudo=
elif sudo -n true 2>/dev/null; then
  sudo=sudo
else
  echo "test: missing Debian packages; as root: $command" >&2
  exit 1
fi
if [ -z "${CI:-}" ]; then
  if ! [ -t 0 ]; then
    echo "test: missing Debian packages: ${sudo:+$sudo }$command" >&2
    exit 1
  fi
  printf 'The tests need Debian packages that are missing:%s\nInstall them now? [y/N] ' "$missing"
  read -r answer
  case $answer in [yY]*) ;; *) exit 1 ;; esac
fi

# packages' scripts ask this file whether they may start services
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
own_policy=
clean_up() {
  rm -f "$log"
  [ -z "$own_policy" ] || $sudo rm -f "$policy"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
if ! [ -e "$policy" ]; then
  own_policy=yes
  printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
  $sudo chmod 755 "$policy"
fi

echo "installing Debian packages:$missing"
apt() { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null >>"$log" 2>&1; }
if ! { apt update && apt install --yes --no-install-recommends $missing; }; then
  cat "$log" >&2
  echo 'test: cannot install the Debian packages' >&2
  exit 1
fi
