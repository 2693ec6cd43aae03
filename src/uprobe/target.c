#include "uprobe/target.h"

#include "uprobe/golang.h"

#include <stdio.h>

#if defined(__x86_64__)
#define MACHINE ELF_X86_64
#elif defined(__aarch64__)
#define MACHINE ELF_AARCH64
#else
#define MACHINE 0
#endif

static const char *const functions[TARGET_PROBES] = {
	[TARGET_GO_LINE] = "crypto/tls.(*Config).writeKeyLog",
	[TARGET_GO_SUITE] = "crypto/tls.(*cipherSuiteTLS13).trafficKey",
	[TARGET_GO_MASTER] = "crypto/tls.keysFromMasterSecret",
	[TARGET_GO_NAME] = "crypto/tls.hostnameInSNI",
	[TARGET_GO_HELLO] = "crypto/tls.(*clientHelloMsg).unmarshal",
	[TARGET_SSL_LINE] = "nss_keylog_int",
	[TARGET_SSL_SUITE] = "derive_secret_key_and_iv",
};

static void bar(struct target *target, const char *why)
{
	target->kind = TARGET_BARRED;
	target->count = 0;
	snprintf(target->says, sizeof(target->says), "%s", why);
}

static void add_points(
	const struct elf *elf, const uint64_t *addresses, unsigned first, unsigned end, struct target *target)
{
	for (unsigned i = first; i < end; i++) {
		struct target_point *point = &target->points[target->count];
		point->probe = (enum target_probe)i;
		target->count += addresses[i] != 0 && elf_place(elf, addresses[i], &point->offset);
	}
}

static bool has(const struct target *target, enum target_probe probe)
{
	for (size_t i = 0; i < target->count; i++) {
		if (target->points[i].probe == probe)
			return true;
	}
	return false;
}

/* Its own table first: it is there when symbols are not, and says the same. */
static void look_at_go(const struct elf *elf, const char *version, struct target *target)
{
	uint64_t addresses[TARGET_PROBES] = {0};
	(void)golang_functions(elf, functions, TARGET_SSL_LINE, addresses);
	(void)elf_functions(elf, functions, TARGET_SSL_LINE, addresses);
	add_points(elf, addresses, TARGET_GO_LINE, TARGET_SSL_LINE, target);
	if (!has(target, TARGET_GO_LINE)) {
		bar(target, "it is a Go program without crypto/tls, so what TLS it may have is not known");
		return;
	}
	target->kind = TARGET_GO;
	snprintf(target->says, sizeof(target->says), "it is a Go program%s%s%s", version[0] ? " (" : "", version,
		version[0] ? ")" : "");
}

/* Of dynamic programs the agent tells what they have. */
static void look_at_others(const struct elf *elf, struct target *target)
{
	uint64_t addresses[TARGET_PROBES] = {0};
	if (elf->loader)
		return;
	bool named = elf_functions(elf, functions, TARGET_PROBES, addresses);
	add_points(elf, addresses, TARGET_SSL_LINE, TARGET_PROBES, target);
	if (has(target, TARGET_SSL_LINE)) {
		target->kind = TARGET_OPENSSL;
		snprintf(target->says, sizeof(target->says), "it is linked statically, with OpenSSL inside");
	} else if (named) {
		bar(target, "it is linked statically, and no TLS library that is known here was found in it");
	} else {
		bar(target, "it is linked statically and stripped: nothing in it can be found by its name");
	}
}

void target_look(const struct elf_source *source, struct target *out)
{
	char version[GOLANG_VERSION_MAX + 1];
	struct elf elf;
	*out = (struct target){.kind = TARGET_FREE};
	enum elf_result result = elf_open(source, &elf);
	out->dynamic = elf.loader;
	if (result == ELF_OK && elf.machine == MACHINE) {
		switch (golang_look(&elf, version)) {
		case GOLANG_OK:
			look_at_go(&elf, version, out);
			break;
		case GOLANG_OLD:
			bar(out, "it is a Go program made before Go 1.18, which passes its arguments otherwise");
			break;
		case GOLANG_LOST:
			bar(out, "it is a Go program whose table of functions cannot be read");
			break;
		default:
			look_at_others(&elf, out);
			break;
		}
	} else if (result == ELF_OK || result == ELF_FOREIGN) {
		bar(out, "it is not of 64 bits, or of another machine");
	}
	elf_free(&elf);
}
