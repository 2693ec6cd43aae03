/*
 * cli/exec_env.h — the environment in which programs find the private proxy and trust its CA: curl, Node, Python, Java,
 * Go, Ruby, git, npm, apt. For one child only; nothing outside it changes.
 */
#ifndef CLI_EXEC_ENV_H
#define CLI_EXEC_ENV_H

#include "base/bytes.h"
#include "base/error.h"

/* A folder of its own under $XDG_RUNTIME_DIR or /tmp, mode 0700, with the files that variables point to. */
struct exec_env {
	char folder[256];
};

/* Writes the files: the CA alone, the system's anchors with it, a trust store for Java, settings for apt and Node. */
must_check bool exec_env_make(struct exec_env *env, struct bytes ca_pem, uint16_t proxy_port, struct error *err);
/* Sets the variables in this process: call it in the child. */
must_check bool exec_env_set(const struct exec_env *env, uint16_t proxy_port);
/* Only the variables that name a proxy. */
must_check bool exec_env_proxy(const char *url);
/* Removes the folder and what is in it. */
void exec_env_remove(const struct exec_env *env);

#endif
