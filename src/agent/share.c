#include "agent/share.h"

#include "agent/library.h"
#include "agent/share_consent.h"
#include "agent/share_gnutls.h"
#include "agent/share_hold.h"
#include "agent/share_link.h"
#include "agent/share_openssl.h"
#include "agent/share_probes.h"
#include "agent/share_rotate.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_MAX 4096

static struct share_settings settings;

struct found {
	bool reached; /* a library that the agent gets into */
	bool nss;
	bool go;
};

/* Go marks its programs with a note of this name: "Go", filled up to four octets. */
static bool has_go_note(const struct dl_phdr_info *info)
{
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		const char *at = (const char *)(info->dlpi_addr + segment->p_vaddr);
		/* Sizes of name and description, type, name. */
		if (segment->p_type == PT_NOTE && segment->p_memsz >= 16 && memcmp(at + 12, "Go\0", 4) == 0)
			return true;
	}
	return false;
}

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
	struct found *found = data;
	const char *slash = strrchr(info->dlpi_name, '/');
	const char *name = slash ? slash + 1 : info->dlpi_name;
	(void)size;
	found->reached |= strncmp(name, "libssl.so", 9) == 0 || strncmp(name, "libgnutls.so", 12) == 0;
	found->go |= !info->dlpi_name[0] && has_go_note(info);
	found->nss |= strcmp(name, "libnss3.so") == 0 || strcmp(name, "libssl3.so") == 0;
	return 0;
}

/* Programs with a TLS library inside that know SSLKEYLOGFILE: BoringSSL's and NSS's. */
static bool is_browser(const char *program)
{
	static const char *const names[] = {"chrome", "chromium", "chromium-browser", "google-chrome", "msedge",
		"brave", "opera", "vivaldi", "electron", "firefox", "firefox-bin", "firefox-esr", "thunderbird",
		"thunderbird-bin"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(program, names[i]) == 0)
			return true;
	}
	return false;
}

/* Node has OpenSSL inside, whose functions the program itself exports, and calls them without a linker in between. */
static bool is_node(void)
{
	void *self = dlopen(NULL, RTLD_LAZY);
	void *found = self ? dlsym(self, "napi_create_function") : NULL;
	if (self)
		dlclose(self);
	return found != NULL;
}

static void set_node_options(void)
{
	char text[OPTIONS_MAX];
	const char *old = getenv("NODE_OPTIONS");
	if (old && strstr(old, "--tls-keylog"))
		return;
	int n = snprintf(
		text, sizeof(text), "%s%s--tls-keylog=%s", old ? old : "", old && old[0] ? " " : "", settings.fifo);
	if (n > 0 && (size_t)n < sizeof(text))
		(void)setenv("NODE_OPTIONS", text, 1);
}

/* What this program would write to the FIFO has no business there. */
static void forget_file(void)
{
	const char *file = getenv("SSLKEYLOGFILE");
	if (file && strcmp(file, settings.fifo) == 0)
		(void)unsetenv("SSLKEYLOGFILE");
}

/* Where there is a FIFO. Without one its secrets could only be given away as they are. */
static void reach_by_file(bool node)
{
	if (!settings.fifo[0]) {
		share_link_say(SHARE_BARRED, "it has a TLS library inside, and could only write a key log");
	} else if (node) {
		set_node_options();
		share_link_say(SHARE_FILE, "it has OpenSSL inside; its keys come by its option --tls-keylog");
	} else {
		(void)setenv("SSLKEYLOGFILE", settings.fifo, 1);
		share_link_say(SHARE_FILE, "it has a TLS library of its own; its keys come by SSLKEYLOGFILE");
	}
}

/*
 * The ways around, for programs that need one. A library that the agent reaches may be loaded for something else: the
 * program's kind counts first.
 */
static void reach(void)
{
	struct found found = {0};
	bool node = is_node(), browser = is_browser(program_invocation_short_name);
	dl_iterate_phdr(visit, &found);
	if (node || browser || (found.nss && !found.reached)) {
		reach_by_file(node);
	} else if (found.go) {
		if (!share_probes_self())
			share_link_say(SHARE_BARRED, "it is a Go program, whose TLS is its own");
	} else if (strcmp(program_invocation_short_name, "java") == 0) {
		share_link_say(SHARE_BARRED, "Java has TLS of its own");
	} else if (found.reached) {
		share_link_prepare();
		forget_file();
	}
}

void share_begin(void)
{
	/* Settings that make no sense are closed: nothing is let through, and nothing is shared. */
	(void)!share_settings_read(&settings);
	if (!settings.on)
		return;
	share_link_open(&settings);
	share_probes_begin(&settings);
	share_consent_begin(&settings);
	share_rotate_begin(&settings);
	share_openssl_begin();
	share_gnutls_begin();
	reach();
}

/* What the program has not ended itself ends with it. */
__attribute__((destructor)) static void end(void)
{
	if (settings.on)
		share_hold_end();
}
