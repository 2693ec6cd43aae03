# The Debian packages that building and testing need, and how missing ones are installed. Sourced by run and test.

build_packages=(gcc meson ninja-build pkg-config libssl-dev libsodium-dev libyaml-dev libnghttp2-dev libsqlite3-dev libseccomp-dev libsystemd-dev)
# llhttp: Debian 13 has a library, Debian 12 only the C sources inside node-llhttp.
if apt-cache show libllhttp-dev >/dev/null 2>&1; then
	build_packages+=(libllhttp-dev)
else
	build_packages+=(node-llhttp)
fi

test_packages=(libcmocka-dev libjansson-dev zlib1g-dev clang clang-format clang-tidy "libclang-rt-$(. /etc/os-release && [ "$VERSION_ID" = 12 ] && echo 14 || echo 19)-dev"
	python3 python3-pytest python3-cryptography openssl curl wget nginx-light gnutls-bin ca-certificates procps iproute2 nftables
	apache2-bin git nodejs npm default-jdk-headless chromium libnss3-tools tshark groff mandoc shellcheck)

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
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >&2
}
