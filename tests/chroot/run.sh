#!/usr/bin/env bash
# Tries the README in a clean Debian as a new user would: tests/chroot/run.sh debian12|debian13, as root.
#
# One line per step: "ok STEP" or "not ok STEP", and after the latter what the step wrote; then it ends. The system is made
# by debootstrap from the mirror that this machine uses, and kept for a week in build-chroot/. A run works on a copy of its
# own, in namespaces for mounts and processes, which take all of both with them however the run ends.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck source=tools/packages.sh
. "$top/tools/packages.sh"
# shellcheck source=tests/chroot/step.sh
. "$here/step.sh"

case "${1:-}" in
debian12) codename=bookworm ;;
debian13) codename=trixie ;;
*)
	echo "$0: no system '${1:-}'; there are: debian12 debian13" >&2
	exit 2
	;;
esac
suite=$1
kept=$top/build-chroot
base=$kept/$suite.tar
work='' child=''
first=()

leave() {
	# The end of a namespace's first process is the end of all in it; unshare waits for that.
	if [ -n "$child" ]; then
		read -ra first <"/proc/$child/task/$child/children" || true
		kill -KILL "${first[@]:-$child}" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	fi
	# What was mounted below was so in the namespace only, and is not seen here.
	[ -z "$work" ] || rm -rf --one-file-system "$work"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The mirrors as apt knows them: "Label URI" of each of Debian's own.
mirrors() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
		awk -F'|' '$1 == "Debian" && !seen[$2]++ {print $2, $3}'
}

# What is the machine's and not the system's: where packages come from, and how names are found. Written anew in every copy.
equip() {
	local main security
	main=$(mirrors | sed -n 's/^Debian //p')
	security=$(mirrors | sed -n 's/^Debian-Security //p')
	{
		echo "deb $main $codename main"
		echo "deb $main $codename-updates main"
		[ -z "$security" ] || echo "deb $security $codename-security main"
	} >"$work/root/etc/apt/sources.list"
	apt-config dump | grep -iE '^Acquire::[a-z]+::Proxy' >"$work/root/etc/apt/apt.conf.d/80proxy" || true
	# Nobody misses this copy after a power cut.
	echo force-unsafe-io >"$work/root/etc/dpkg/dpkg.cfg.d/unsafe-io"
	cat /etc/resolv.conf >"$work/root/etc/resolv.conf"
	printf '%s\n' '127.0.0.1 localhost' '::1 localhost' "127.0.1.1 $(hostname)" \
		'192.0.2.1 example.org www.example.org other.example' >"$work/root/etc/hosts"
}

make_base() {
	[ "$(id -u)" -eq 0 ] || {
		echo "run this as root: a chroot and its mounts need it"
		return 1
	}
	need_packages debootstrap debian-archive-keyring iproute2
	[ -n "$(mirrors)" ] || apt-get update -q
	local mirror
	mirror=$(mirrors | sed -n 's/^Debian //p')
	[ -n "$mirror" ] || {
		echo "apt knows no mirror of Debian's; debootstrap takes the system from there"
		return 1
	}
	mkdir -p "$kept" "$work/root"
	chmod 755 "$work" "$work/root"
	find "$base" -mtime +7 -delete 2>/dev/null || true
	[ -f "$base" ] || {
		debootstrap --variant=minbase "$codename" "$work/base" "$mirror"
		tar -C "$work/base" --one-file-system --exclude='./dev/*' --exclude='./var/cache/apt/archives/*.deb' -cf "$base.$$" .
		mv "$base.$$" "$base"
		rm -rf --one-file-system "$work/base"
	}
	tar -C "$work/root" -xpf "$base"
	equip
}

# inside PART: that part of inside.sh, in the copy. `try` has a network of its own, in which example.org is at home.
inside() {
	local alone=()
	[ "$1" != try ] || alone=(--net)
	# shellcheck disable=SC2016
	unshare --mount --pid --fork --kill-child "${alone[@]}" bash -euc '
		root=$1 part=$3
		if [ "$part" = try ]; then
			ip link set lo up
			ip address add 192.0.2.1/32 dev lo
		fi
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		mount -t tmpfs tmpfs "$root/dev/shm"
		exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root bash /inside/inside.sh "$2" "$part"
	' inside "$work/root" "$suite" "$1" &
	child=$!
	wait "$child"
	child=''
}

place_checkout() {
	mkdir "$work/root/inside" "$work/root/inside/overt"
	cp "$here/inside.sh" "$here/step.sh" "$work/root/inside/"
	git -c safe.directory="$top" -C "$top" archive HEAD | tar -x -C "$work/root/inside/overt"
}

work=$(mktemp -d "${TMPDIR:-/var/tmp}/overt-chroot.XXXXXX")
step "debootstrap makes a clean $codename" make_base
step "a clean checkout is placed in it" place_checkout
inside build
inside try
