#!/bin/bash
# The part of tests/chroot/run.sh that runs inside the clean system: inside.sh debian12|debian13 build|try.
#
# build: the packages that the README's commands install, the build, on Debian 13 the unit tests and clang as well.
# try: with no network but its own, in which example.org is a server here, the README from its first command to its last.
# On Debian 12 the new user is root; on Debian 13 an ordinary one with sudo. The README names both.
set -euo pipefail
# shellcheck source=tests/chroot/step.sh
. /inside/step.sh
suite=$1 part=$2
user=root home=/root
[ "$suite" = debian12 ] || user=ada home=/home/ada

# as_user SCRIPT: as if typed after login, in the checkout; `overt` stands for build/overt, as the README says.
as_user() {
	su -l "$user" -c "set -euo pipefail; cd ~/overt; PATH=\$PWD/build:\$PATH; $1"
}

# The README's block of that name.
block() {
	awk -v mark="<!-- try: $1 -->" '
		$0 == mark {found = 1; next}
		found && /^```/ {if (inside) exit; inside = 1; next}
		found && inside' "$home/overt/README.md" >/tmp/block
	[ -s /tmp/block ] || { echo "README.md has no block marked $1"; return 1; }
	cat /tmp/block
}

has() {
	grep -qE -- "$2" "$1" || { echo "nothing in $1 matches $2:"; cat "$1"; return 1; }
}

install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
}

# build

move_in() {
	apt-get update -q
	if [ "$user" != root ]; then
		install sudo
		useradd -m -s /bin/bash "$user"
		echo "$user ALL=(ALL) NOPASSWD: ALL" >"/etc/sudoers.d/$user"
	fi
	mv /inside/overt "$home/overt"
	chown -R "$user:" "$home/overt"
}

test_packages_exist() {
	# shellcheck source=tools/packages.sh
	. "$home/overt/tools/packages.sh"
	apt-get install -qs --no-install-recommends "${build_packages[@]}" "${test_packages[@]}"
}

gcc_tests() {
	install libcmocka-dev libjansson-dev zlib1g-dev openssl
	as_user 'gcc --version; meson setup build-gcc -Dbuildtype=debugoptimized; ninja -C build-gcc
		meson test -C build-gcc --no-rebuild --print-errorlogs --timeout-multiplier 4'
}

clang_builds() {
	install clang libclang-rt-19-dev
	as_user 'clang --version; CC=clang meson setup build-clang -Dfuzz=true -Dbuildtype=debugoptimized \
		-Db_sanitize=address,undefined -Db_lundef=false; ninja -C build-clang'
}

uses_libllhttp() {
	ldd "$home/overt/build/overt" >/tmp/ldd
	has /tmp/ldd libllhttp
}

build() {
	step "the user $user has the checkout" move_in
	step "./run --build installs what is missing and builds" as_user './run --build'
	step "every package that ./test installs is to be had" test_packages_exist
	if [ "$suite" = debian13 ]; then
		step "llhttp is Debian's library" uses_libllhttp
		step "gcc 14 compiles everything and the unit tests pass" gcc_tests
		step "clang 19 compiles everything, fuzz targets too" clang_builds
	fi
	step "a web server, curl and man are installed" install ca-certificates curl nginx-light openssl man-db
}

# try

# The web as far as it is here: a CA of which the system is told as of any other, and example.org.
make_web() {
	mkdir -p /srv/web
	cd /srv/web
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Root of the chroot" -keyout ca.key -out ca.crt
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=example.org" -keyout key.pem -out request.pem
	printf '%s\n' subjectAltName=DNS:example.org,DNS:www.example.org,DNS:other.example extendedKeyUsage=serverAuth \
		authorityKeyIdentifier=keyid subjectKeyIdentifier=hash >extensions
	openssl x509 -req -in request.pem -CA ca.crt -CAkey ca.key -CAcreateserial -days 20 -extfile extensions -out leaf.pem
	cp ca.crt /usr/local/share/ca-certificates/chroot-root.crt
	update-ca-certificates
	cat >nginx.conf <<-'NGINX'
		pid /srv/web/nginx.pid;
		error_log /srv/web/error.log;
		events {}
		http {
			access_log off;
			server {
				listen 192.0.2.1:443 ssl http2;
				ssl_protocols TLSv1.2 TLSv1.3;
				ssl_certificate /srv/web/leaf.pem;
				ssl_certificate_key /srv/web/key.pem;
				location = / {
					default_type text/html;
					return 200 "<!doctype html><title>Example</title>\n";
				}
				location = /group {
					default_type text/plain;
					return 200 "$ssl_curve\n";
				}
			}
		}
	NGINX
	nginx -c /srv/web/nginx.conf
	curl -sS https://example.org/ | grep 'Example'
}

version_is_told() {
	as_user './run version' | tee /tmp/version
	has /tmp/version "^overt $(sed -n "s/^  version: '\(.*\)',/\1/p" "$home/overt/meson.build")$"
}

exec_shows_the_request() {
	as_user "$(block exec)" >/tmp/page 2>/tmp/table
	has /tmp/page '<title>Example</title>'
	has /tmp/table '127\.0\.0\.1 +inspect +GET +(/ +)?200 +example\.org/?|example\.org +GET +/ +200 '
}

outputs_are_written() {
	as_user "$(block outputs)"
	has "$home/overt/flows.jsonl" '"type":"request".*"method":"GET"'
	has "$home/overt/page.html" '<title>Example</title>'
	od -An -tx1 -N4 "$home/overt/plain.pcapng" | grep ' 0a 0d 0d 0a'
}

# proxy_start [OPTIONS]: the README's command, and waits until it says that it is ready.
proxy_start() {
	as_user "$(block proxy) $* >~/proxy.log 2>&1 & echo \$! >~/proxy.pid"
	local pid
	pid=$(cat "$home/proxy.pid")
	until grep -q 'proxy: ready' "$home/proxy.log"; do
		kill -0 "$pid" || { cat "$home/proxy.log"; return 1; }
		sleep 0.05
	done
}

proxy_stop() {
	local pid
	pid=$(cat "$home/proxy.pid")
	kill "$pid"
	timeout 20 tail --pid="$pid" -f /dev/null
	cat "$home/proxy.log"
	if grep -lx overt /proc/[0-9]*/comm; then
		echo "processes are left"
		return 1
	fi
}

proxy_serves() {
	as_user "$(block client)" >/tmp/page
	has /tmp/page '<title>Example</title>'
	as_user 'curl -sS -x http://127.0.0.1:8080 http://overt.internal/' >/tmp/page
	has /tmp/page 'Overt'
}

# through URL: what curl says to a user who names the proxy and no CA.
through() {
	as_user "curl -sS -x http://127.0.0.1:8080 $1" >/tmp/page 2>/tmp/error
}

# As curl says it: 60, the certificate could not be verified.
distrusted() {
	local code=0
	through https://example.org/ || code=$?
	cat /tmp/page /tmp/error
	[ "$code" -eq 60 ] || { echo "curl ended with $code"; return 1; }
}

# The command, and as a user other than root the one with sudo that it prints.
trust() {
	as_user "$1" >/tmp/out 2>/tmp/error || [ "$user" != root ] || { cat /tmp/out /tmp/error; return 1; }
	cat /tmp/out /tmp/error
	[ "$user" != root ] || return 0
	local printed
	printed=$(sed -n 's/.*; run: \(sudo overt .*\)/\1/p' /tmp/error)
	[ -n "$printed" ] || { echo "no command with sudo is printed"; return 1; }
	as_user "${printed/sudo overt/sudo \$PWD\/build\/overt}"
}

installed_ca_is_trusted() {
	trust 'overt ca install --permit example.org'
	proxy_start --jsonl "$home/proxy.jsonl"
	through https://example.org/ || { cat /tmp/error "$home/proxy.log"; return 1; }
	has /tmp/page '<title>Example</title>'
	through https://www.example.org/ || { cat /tmp/error "$home/proxy.log"; return 1; }
	as_user 'overt ca show' >/tmp/shown
	has /tmp/shown '^system store +installed$'
	has /tmp/shown '^permits +example\.org$'
}

another_name_passes_unread() {
	through https://other.example/ || { cat /tmp/error "$home/proxy.log"; return 1; }
	has /tmp/page '<title>Example</title>'
	has "$home/proxy.log" ' bypass other\.example .*the CA is not permitted'
}

removed_ca_is_distrusted() {
	trust 'overt ca remove'
	distrusted
	as_user 'overt ca show' >/tmp/shown
	has /tmp/shown '^system store +not installed$'
	proxy_stop
}

# As OpenSSL 3.5 does it of its own: neither curl nor nginx nor the proxy is told of a group.
legs_are_post_quantum() {
	openssl version
	through https://example.org/group
	cat /tmp/page
	# nginx knows the group by its number only.
	has /tmp/page '^(X25519MLKEM768|0x11ec)$'
	as_user 'overt exec -q --jsonl group.jsonl -- curl -sSv https://example.org/group' 2>&1 | tee /tmp/page
	has /tmp/page 'SSL connection using TLSv1\.3 / [A-Z0-9_]+ / X25519MLKEM768'
	local file leg
	for file in "$home/proxy.jsonl" "$home/overt/group.jsonl"; do
		for leg in 1 2; do
			has "$file" "\"type\":\"tls\".*\"leg\":$leg,\"version\":\"TLS 1.3\".*\"group\":\"X25519MLKEM768\""
		done
		if grep '"type":"tls"' "$file" | grep -v '"group":"X25519MLKEM768"'; then
			echo "another group in $file"
			return 1
		fi
	done
}

rules_decide_as_shown() {
	block rules >"$home/overt/rules.yaml"
	as_user "$(block check)" | tee /tmp/verdict
	has /tmp/verdict '^verdict: bypass, by rules\.yaml:'
}

pages_are_readable() {
	local page
	for page in "$home"/overt/man/*.1; do
		as_user "man -l man/${page##*/}" >/tmp/page 2>/tmp/error
		[ ! -s /tmp/error ] || { cat /tmp/error; return 1; }
		has /tmp/page '^NAME'
		has /tmp/page '^DESCRIPTION'
	done
	as_user '. completion/overt.bash; complete -p overt'
}

try() {
	step "example.org is at home here" make_web
	step "./run version tells the version" version_is_told
	step "./run exec -- curl shows the page and the request" exec_shows_the_request
	step "overt exec writes JSON lines and a pcapng" outputs_are_written
	step "overt proxy starts" proxy_start
	step "curl through it, told of the CA, gets the page" proxy_serves
	step "curl that is not told of the CA refuses" distrusted
	step "overt proxy ends when asked and leaves no process" proxy_stop
	step "overt ca install --permit: curl trusts it for the names permitted" installed_ca_is_trusted
	step "a name that is not permitted passes unread" another_name_passes_unread
	if [ "$suite" = debian13 ]; then
		step "X25519MLKEM768 is negotiated on both legs" legs_are_post_quantum
	fi
	step "overt ca remove: curl refuses again" removed_ca_is_distrusted
	step "overt check decides as the README shows" rules_decide_as_shown
	step "the manual pages and the completion are readable" pages_are_readable
}

"$part"
