#!/usr/bin/env bash
# Programs on OpenSSL 1.1.1, unmodified, for the tests: tools/openssl11.sh FOLDER
#
# Debian 11's packages, from the mirror of Debian that this machine's apt is set up with, verified by apt with Debian's
# keys, and unpacked into FOLDER: nothing is installed, and apt's own lists and caches stay as they are. What is there
# already is not fetched again. Run its programs with LD_LIBRARY_PATH=FOLDER/lib.
#
# Exits with 0; with 77 and one line where this cannot be had; with 1 for anything else.
set -euo pipefail

suite=bullseye
keys=/usr/share/keyrings/debian-archive-keyring.gpg
# OpenSSL, with what programs are built with; then programs, and what of theirs this system has in another version only, or
# built on another OpenSSL. Everything else they take from the system.
packages=(libssl1.1 openssl libssl-dev
	curl libcurl4 libldap-2.4-2 libssh2-1 librtmp1
	nginx-light libpcre3
	python3.9-minimal libpython3.9-minimal libpython3.9-stdlib)

folder=${1:?"a folder is wanted"}
work=''
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

absent() {
	echo "OpenSSL 1.1.1 cannot be had here: $*" >&2
	exit 77
}

# The repositories of the system that this is, as apt's sources have them. No list needs to have been fetched.
mirrors() {
	local codename
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	apt-get update --print-uris | sed -n "s|^'\(.*\)/dists/$codename/InRelease'.*|\1|p"
}

# apt with sources, lists and a cache of its own, which knows of no installed package.
private_apt() {
	apt-get -q -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State="$work/apt/state" -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt/cache" \
		-o Acquire::Languages=none -o Acquire::Check-Valid-Until=false -o APT::Update::Error-Mode=any \
		-o Acquire::Retries=3 -o APT::Update::Post-Invoke::= -o APT::Update::Post-Invoke-Success::= "$@"
}

# From the first repository that has the suite.
update() {
	local mirror
	while read -r mirror; do
		echo "deb [signed-by=$keys] $mirror $suite main" >"$work/apt/sources.list"
		! private_apt update >>"$work/log" 2>&1 || return 0
	done < <(mirrors)
	return 1
}

# What the programs want of the system is there.
check() {
	local wanted
	wanted=$(LD_LIBRARY_PATH=$work/tree/lib ldd "$work"/tree/usr/{bin/openssl,bin/curl,bin/python3.9,sbin/nginx} |
		awk '/not found/ && !seen[$1]++ {printf " %s", $1}')
	[ -z "$wanted" ] || absent "this system does not have$wanted"
}

fetch() {
	mkdir -p "$work"/apt/state/lists/partial "$work"/apt/cache/archives/partial "$work"/packages "$work"/tree/lib
	: >"$work/apt/status"
	# apt fetches as a user of its own.
	chmod -R a+rX "$work"
	[ "$(id -u)" -ne 0 ] || chown _apt "$work/packages" "$work"/apt/state/lists/partial
	update || absent "no repository of this machine's apt serves Debian 11 ($suite)"
	(cd "$work/packages" && private_apt download "${packages[@]}") >>"$work/log" 2>&1 ||
		absent "Debian 11's packages were not fetched: $(tail -n 1 "$work/log")"
	for package in "$work"/packages/*.deb; do
		dpkg-deb -x "$package" "$work/tree"
	done
	# All libraries in one place.
	find "$work"/tree/lib/*-linux-gnu "$work"/tree/usr/lib/*-linux-gnu -name '*.so*' -exec ln -sr -t "$work/tree/lib" {} +
	check
	chmod -R a+rX "$work/tree"
	echo "${packages[*]}" >"$work/tree/packages"
}

mkdir -p "$(dirname "$folder")"
exec 9>"$folder.lock"
flock 9
[ "$(cat "$folder/packages" 2>/dev/null)" != "${packages[*]}" ] || exit 0
if [ ! -r "$keys" ] || ! command -v apt-get >/dev/null; then
	absent "this is no Debian with its keys"
fi
# Beside it, so that it comes into its place whole.
work=$(mktemp -d "$folder.XXXXXX")
fetch
rm -rf "$folder"
mv "$work/tree" "$folder"
