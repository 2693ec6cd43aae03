#include "agent/library.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define OPENSSL_3 "libssl.so.3"

#define MET_MAX  4
#define MET_MASK ((uintptr_t)7) /* what an address has no use for */
#define MADE_MAX 4096

static _Atomic(const void *) met[MET_MAX]; /* code of each libssl */
static _Atomic uintptr_t made[MADE_MAX];   /* an SSL, and the number of its libssl; of two at one place the later */

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

unsigned library_met(const void *at)
{
	Dl_info known, this;
	for (unsigned i = 0; i < MET_MAX; i++) {
		const void *there = atomic_load(&met[i]);
		if (!there)
			atomic_store(&met[i], at);
		if (!there || (dladdr(there, &known) && dladdr(at, &this) && known.dli_fbase == this.dli_fbase))
			return i + 1;
	}
	return 0;
}

static _Atomic uintptr_t *place_of(const void *ssl)
{
	return &made[((uintptr_t)ssl >> 6) % MADE_MAX];
}

void library_made(const void *ssl, unsigned number)
{
	if (((uintptr_t)ssl & MET_MASK) == 0)
		atomic_store(place_of(ssl), (uintptr_t)ssl | number);
}

void *library_find_made(const char *name, const void *ssl, const void *ours)
{
	if (!atomic_load(&met[1]))
		return NULL;
	uintptr_t there = atomic_load(place_of(ssl));
	unsigned number = (unsigned)(there & MET_MASK);
	if (number == 0 || (there & ~MET_MASK) != (uintptr_t)ssl)
		return NULL;
	return look(library_of(atomic_load(&met[number - 1])), name, ours);
}

static void *look_in_only(const char *name, const void *ours)
{
	const void *only = atomic_load(&met[1]) ? NULL : atomic_load(&met[0]);
	return only ? look(library_of(only), name, ours) : NULL;
}

void *library_find(const char *name, const void *caller, const void *ours)
{
	Dl_info info;
	void *found = dladdr(caller, &info) ? look(info.dli_fname, name, ours) : NULL;
	if (!found && strncmp(name, "SSL_", 4) == 0)
		found = look_in_only(name, ours);
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
