#!/bin/sh
# Installs Debian packages that are missing: install-debian.sh [--optional] PACKAGE...
#
# Works as root, or through sudo. With --optional it says in one line what stays missing and succeeds; without,
# it says so and fails. PostgreSQL comes without the cluster that Debian creates and starts by itself: teiten
# runs its own (internal/localpg).
set -eu

optional=false
if [ "${1:-}" = --optional ]; then
	optional=true
	shift
fi

# give_up MESSAGE: the end, good or bad.
give_up() {
	if $optional; then
		echo "note: $1; what needs it is skipped" >&2
		exit 0
	fi
	echo "error: $1" >&2
	exit 1
}

present() {
	case $1 in
	postgresql)
		for initdb in /usr/lib/postgresql/*/bin/initdb; do
			[ -x "$initdb" ] && return 0
		done
		command -v initdb >/dev/null && command -v postgres >/dev/null
		;;
	chromium | tcpdump | gcc)
		command -v "$1" >/dev/null
		;;
	*)
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
		;;
	esac
}

missing=
for package; do
	present "$package" || missing="$missing $package"
done
missing=${missing# }
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || give_up "missing: $missing; this is not Debian, install it by hand"
as_root=
if [ "$(id -u)" != 0 ]; then
	as_root=sudo
	command -v sudo >/dev/null ||
		give_up "missing: $missing; as root: apt-get install --no-install-recommends $missing"
	# Without a terminal nobody can type a password.
	[ -t 0 ] || as_root="sudo -n"
	$as_root true || give_up "missing: $missing; as root: apt-get install --no-install-recommends $missing"
fi

case " $missing " in
*" postgresql "*)
	$as_root mkdir -p /etc/postgresql-common/createcluster.d
	echo 'create_main_cluster = false' |
		$as_root tee /etc/postgresql-common/createcluster.d/teiten.conf >/dev/null
	;;
esac

case " $missing " in
*" postfix "*) # only its programs: the package must not set up a mail server, nor ask for one
	echo 'postfix postfix/main_mailer_type select No configuration' |
		$as_root debconf-set-selections
	;;
esac

echo "installing $missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null >>"$log" 2>&1
}
# The lists of a fresh machine are empty or old.
apt update || echo "note: apt-get update failed, trying with the lists there are" >&2
# shellcheck disable=SC2086 # a list of words
if ! apt install --no-install-recommends $missing; then
	tail -n 20 "$log" >&2
	give_up "could not install $missing (see above)"
fi
