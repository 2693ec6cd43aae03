/*
 * uprobe/target.h — whether a program's secrets can be had by probes, and at which of its functions. Go's own TLS (from
 * Go 1.18 on, stripped or not) and OpenSSL linked into a program whose symbols are there. No I/O but elf_load's.
 */
#ifndef UPROBE_TARGET_H
#define UPROBE_TARGET_H

#include "uprobe/elf.h"

/* Which program of probe.bpf.c stands at a function. */
enum target_probe {
	TARGET_GO_LINE, /* crypto/tls.(*Config).writeKeyLog: label, client random, secret; also without a KeyLogWriter */
	TARGET_GO_SUITE,  /* crypto/tls.(*cipherSuiteTLS13).trafficKey: suite and secret, also after a KeyUpdate */
	TARGET_GO_MASTER, /* crypto/tls.keysFromMasterSecret: all that the keys of TLS 1.2 are made of */
	TARGET_GO_NAME,   /* crypto/tls.hostnameInSNI: the name that a client asks for */
	TARGET_GO_HELLO,  /* crypto/tls.(*clientHelloMsg).unmarshal: the ClientHello that a server got */
	TARGET_SSL_LINE,  /* nss_keylog_int: as the first, also without a callback */
	TARGET_SSL_SUITE, /* derive_secret_key_and_iv: which cipher a connection uses */
	TARGET_PROBES,
};

struct target_point {
	enum target_probe probe;
	uint64_t offset; /* in the file */
};

enum target_kind {
	TARGET_FREE, /* nothing to do here: a script, or a dynamic program that is not Go's */
	TARGET_GO,
	TARGET_OPENSSL, /* inside the program */
	TARGET_BARRED,
};

#define TARGET_SAYS_MAX 160

struct target {
	enum target_kind kind;
	bool dynamic; /* libraries can be loaded into it */
	size_t count;
	struct target_point points[TARGET_PROBES];
	char says[TARGET_SAYS_MAX]; /* "it is a Go program (go1.19.8)"; of a barred one why; empty when free */
};

void target_look(const struct elf_source *source, struct target *out);

#endif
