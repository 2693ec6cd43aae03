# The Debian packages that building and testing need, and how missing ones are installed. Sourced by run and test.

build_packages=(gcc meson ninja-build pkg-config libssl-dev libsodium-dev libyaml-dev libnghttp2-dev libsqlite3-dev libseccomp-dev libsystemd-dev zlib1g-dev libzstd-dev libbrotli-dev libpcap-dev
	libnats-dev libbpf-dev clang)
# llhttp: Debian 13 has a library, Debian 12 only the C sources inside node-llhttp.
if (. /etc/os-release && [ "${VERSION_ID:-13}" = 12 ]); then
	build_packages+=(node-llhttp)
else
	build_packages+=(libllhttp-dev)
fi

test_packages=(libcmocka-dev libjansson-dev clang-format clang-tidy "libclang-rt-$(. /etc/os-release && [ "$VERSION_ID" = 12 ] && echo 14 || echo 19)-dev"
	python3 python3-pytest python3-cryptography openssl curl wget nginx-light gnutls-bin ca-certificates procps iproute2 nftables
	apache2-bin git chromium firefox-esr libnss3-tools tshark groff mandoc shellcheck dovecot-imapd dovecot-pop3d dovecot-submissiond
	ruby liblwp-protocol-https-perl golang-go python3-requests postgresql-client softhsm2 libengine-pkcs11-openssl maude socat sslsplit nats-server haproxy)
# Debian 13 has none.
if (. /etc/os-release && [ "${VERSION_ID:-13}" = 12 ]); then
	test_packages+=(mitmproxy)
fi
# Programs that a machine may have from elsewhere, in a form that conflicts with Debian's: only where there is none.
command -v node >/dev/null || test_packages+=(nodejs)
command -v npm >/dev/null || test_packages+=(npm)
command -v java >/dev/null || test_packages+=(default-jdk-headless)

# Installs those of the packages named that are missing; does nothing, and needs no root, when all are there.
need_packages() {
	local missing=() package
	for package in "$@"; do
		dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	local sudo=()
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || {
			echo "missing Debian packages: ${missing[*]}; run this as root, or install sudo" >&2
			return 1
		}
		sudo=(sudo)
	fi
	echo "installing: ${missing[*]}" >&2
	"${sudo[@]}" bash -s -- "${missing[@]}" <<'INSTALL' >&2
set -e
# Servers are wanted as programs that tests start themselves: none is to run because it was installed.
rule=/usr/sbin/policy-rc.d
if [ ! -e "$rule" ]; then
	trap 'rm -f "$rule"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$rule"
	chmod 755 "$rule"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends "$@" </dev/null
INSTALL
}
