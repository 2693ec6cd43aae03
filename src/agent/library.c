#include "agent/library.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#define OPENSSL_3 "libssl.so.3"

static void *look(const char *file, const char *name, const void *ours)
{
	void *handle = file && file[0] ? dlopen(file, RTLD_LAZY | RTLD_NOLOAD) : NULL;
	if (!handle)
		return NULL;
	void *found = dlsym(handle, name);
	dlclose(handle);
	/* The handle of the program itself finds what is preloaded. */
	return found == ours ? NULL : found;
}

void *library_find(const char *name, const void *caller, const void *ours)
{
	Dl_info info;
	void *found = dladdr(caller, &info) ? look(info.dli_fname, name, ours) : NULL;
	if (!found)
		found = dlsym(RTLD_NEXT, name);
	return found ? found : look(OPENSSL_3, name, ours);
}

const char *library_of(const void *at)
{
	Dl_info info;
	return dladdr(at, &info) && info.dli_fname ? info.dli_fname : "?";
}

struct others {
	char *out;
	size_t cap, len;
	bool openssl_3;
};

static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
	static const char *const known[] = {
		"libssl.so", "libgnutls.so", "libnss3.so", "libssl-", "libmbedtls.so", "libwolfssl.so"};
	struct others *others = data;
	const char *slash = strrchr(info->dlpi_name, '/');
	const char *name = slash ? slash + 1 : info->dlpi_name;
	(void)size;
	others->openssl_3 |= strcmp(name, OPENSSL_3) == 0;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strncmp(name, known[i], strlen(known[i])) != 0)
			continue;
		int n = snprintf(
			others->out + others->len, others->cap - others->len, "%s%s", others->len ? ", " : "", name);
		if (n > 0 && (size_t)n < others->cap - others->len)
			others->len += (size_t)n;
		else
			others->out[others->len] = '\0';
	}
	return 0;
}

void library_others(char *out, size_t cap)
{
	struct others others = {.out = out, .cap = cap};
	out[0] = '\0';
	dl_iterate_phdr(visit, &others);
	if (others.openssl_3)
		out[0] = '\0';
}
