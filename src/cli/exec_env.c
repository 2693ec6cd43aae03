#include "cli/exec_env.h"

#include "pki/trust.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_MAX_OCTETS 320
#define STORE_PASSWORD  "overt" /* guards nothing: the store holds a public certificate */

static const char *const files[] = {"ca.pem", "bundle.pem", "trust.p12", "apt.conf", "wgetrc", "node.cjs"};

static const char *path_of(const struct exec_env *env, const char *file, char out[PATH_MAX_OCTETS])
{
	snprintf(out, PATH_MAX_OCTETS, "%s/%s", env->folder, file);
	return out;
}

static FILE *create(const struct exec_env *env, const char *file, struct error *err)
{
	char path[PATH_MAX_OCTETS];
	int fd = open(path_of(env, file, path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!out) {
		error_set_errno(err, "%s cannot be written", path);
		if (fd >= 0)
			close(fd);
	}
	return out;
}

static bool finish(FILE *out, const char *file, struct error *err)
{
	bool failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed)
		return error_set_errno(err, "%s cannot be written", file);
	return true;
}

static bool write_octets(const struct exec_env *env, const char *file, struct bytes content, struct error *err)
{
	FILE *out = create(env, file, err);
	if (!out)
		return false;
	fwrite(content.data, 1, content.len, out);
	return finish(out, file, err);
}

/* Variables like SSL_CERT_FILE replace the system's anchors: bypassed sites must still verify with them. */
static bool write_bundle(const struct exec_env *env, struct bytes ca_pem, struct error *err)
{
	struct trust *trust = trust_new(NULL);
	uint8_t *pem = NULL;
	size_t len = 0;
	struct error none;
	if (trust && trust_add_system(trust, &none))
		(void)!trust_export(trust, &pem, &len);
	trust_free(trust);
	FILE *out = create(env, "bundle.pem", err);
	if (out) {
		fwrite(ca_pem.data, 1, ca_pem.len, out);
		fwrite(pem, 1, len, out);
	}
	free(pem);
	return out && finish(out, "bundle.pem", err);
}

/* Java takes a certificate in PKCS #12 for an anchor only when its bag carries this attribute. */
static bool mark_trusted(PKCS12_SAFEBAG *bag)
{
	static const char java_trusted_key_usage[] = "2.16.840.1.113894.746875.1.1";
	ASN1_OBJECT *any = OBJ_nid2obj(NID_anyExtendedKeyUsage);
	/* A length of -1 says that the value is an object, which is copied. */
	return PKCS12_add1_attr_by_txt(bag, java_trusted_key_usage, V_ASN1_OBJECT, (unsigned char *)any, -1) == 1;
}

static PKCS12 *java_store(X509 *ca)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	STACK_OF(PKCS7) *safes = NULL;
	PKCS12_SAFEBAG *bag = PKCS12_add_cert(&bags, ca);
	PKCS12 *store = NULL;
	if (bag && PKCS12_add_friendlyname_utf8(bag, "overt", -1) == 1 && mark_trusted(bag) &&
		PKCS12_add_safe(&safes, bags, -1, 0, NULL) == 1)
		store = PKCS12_add_safes(safes, 0);
	if (store && PKCS12_set_mac(store, STORE_PASSWORD, -1, NULL, 0, 0, EVP_sha256()) != 1) {
		PKCS12_free(store);
		store = NULL;
	}
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	return store;
}

static bool write_java(const struct exec_env *env, struct bytes ca_pem, struct error *err)
{
	BIO *bio = BIO_new_mem_buf(ca_pem.data, (int)ca_pem.len);
	X509 *ca = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	PKCS12 *store = ca ? java_store(ca) : NULL;
	FILE *out = store ? create(env, "trust.p12", err) : NULL;
	bool ok = out && i2d_PKCS12_fp(out, store) == 1;
	if (out)
		ok = finish(out, "trust.p12", err) && ok;
	else if (!store)
		error_set_openssl(err, "the trust store for Java cannot be made");
	PKCS12_free(store);
	X509_free(ca);
	BIO_free(bio);
	return ok;
}

static bool write_apt(const struct exec_env *env, uint16_t port, struct error *err)
{
	FILE *out = create(env, "apt.conf", err);
	if (!out)
		return false;
	fprintf(out, "Acquire::http::Proxy \"http://127.0.0.1:%u\";\n", port);
	fprintf(out, "Acquire::https::Proxy \"http://127.0.0.1:%u\";\n", port);
	fprintf(out, "Acquire::https::CAInfo \"%s/bundle.pem\";\n", env->folder);
	return finish(out, "apt.conf", err);
}

static void copy_text(FILE *out, const char *path)
{
	char piece[4096];
	size_t n;
	FILE *in = fopen(path, "re");
	while (in && (n = fread(piece, 1, sizeof(piece), in)) > 0)
		fwrite(piece, 1, n, out);
	if (in)
		fclose(in);
}

/* wget on GnuTLS knows no variable for anchors but this file, in place of the user's own, which therefore stands in it. */
static bool write_wget(const struct exec_env *env, struct error *err)
{
	char path[PATH_MAX_OCTETS];
	const char *theirs = getenv("WGETRC");
	const char *home = getenv("HOME");
	FILE *out = create(env, "wgetrc", err);
	if (!out)
		return false;
	snprintf(path, sizeof(path), "%.300s/.wgetrc", home ? home : "");
	copy_text(out, theirs && theirs[0] ? theirs : path);
	fprintf(out, "\nca_certificate = %s/bundle.pem\n", env->folder);
	return finish(out, "wgetrc", err);
}

/*
 * Node before 24 knows no proxy variables. This is loaded into it ahead of the program: https.request gets an agent that
 * asks the proxy for a tunnel, and fetch a connector that does the same.
 */
static const char node_script[] =
	"'use strict';\n"
	"const http = require('http'), https = require('https'), net = require('net'), tls = require('tls');\n"
	"const port = Number(process.env.OVERT_PROXY_PORT);\n"
	"function tunnel(host, hostPort, done) {\n"
	"  const where = net.isIPv6(host) ? `[${host}]:${hostPort}` : `${host}:${hostPort}`;\n"
	"  const request = http.request({ host: '127.0.0.1', port, method: 'CONNECT', path: where,\n"
	"    headers: { host: where }, agent: false });\n"
	"  request.once('connect', (answer, socket) => answer.statusCode === 200 ? done(null, socket)\n"
	"    : done(new Error(`the proxy refused ${where}: ${answer.statusCode} ${answer.statusMessage}`)));\n"
	"  request.once('error', done);\n"
	"  request.end();\n"
	"}\n"
	"function secure(options, done) {\n"
	"  const host = options.host || options.hostname || 'localhost';\n"
	"  tunnel(host, options.port || 443, (failed, socket) => {\n"
	"    if (failed) return done(failed);\n"
	"    const name = options.servername || (net.isIP(host) ? '' : host);\n"
	"    const inner = tls.connect({ ...options, socket, servername: name, host: undefined, path: undefined });\n"
	"    inner.once('secureConnect', () => done(null, inner));\n"
	"    inner.once('error', done);\n"
	"  });\n"
	"}\n"
	"class TunnelAgent extends https.Agent {\n"
	"  createConnection(options, done) { secure(options, done); }\n"
	"}\n"
	"https.globalAgent = new TunnelAgent({ keepAlive: true });\n"
	"const key = Symbol.for('undici.globalDispatcher.1');\n"
	"try { if (typeof fetch === 'function') fetch('data:,').catch(() => {}); } catch {}\n"
	"const now = globalThis[key];\n"
	"if (now) {\n"
	"  const connect = (options, done) => options.protocol === 'https:'\n"
	"    ? secure({ ...options, host: options.hostname, ALPNProtocols: ['http/1.1'] }, done)\n"
	"    : tunnel(options.hostname, options.port || 80, done);\n"
	"  globalThis[key] = new now.constructor({ connect });\n"
	"}\n";

/* A path that NODE_OPTIONS, JAVA_TOOL_OPTIONS and configuration files carry without quotes. */
static bool is_bare(const char *path)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
	return path[0] == '/' && strlen(path) < 200 && strspn(path, plain) == strlen(path);
}

bool exec_env_make(struct exec_env *env, struct bytes ca_pem, uint16_t proxy_port, struct error *err)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	if (!base || !is_bare(base) || access(base, W_OK) != 0)
		base = "/tmp";
	snprintf(env->folder, sizeof(env->folder), "%.200s/overt-exec-XXXXXX", base);
	if (!mkdtemp(env->folder))
		return error_set_errno(err, "no folder for this run under %s", base);
	if (write_octets(env, "ca.pem", ca_pem, err) && write_bundle(env, ca_pem, err) &&
		write_java(env, ca_pem, err) && write_apt(env, proxy_port, err) && write_wget(env, err) &&
		write_octets(env, "node.cjs", bytes_str(node_script), err))
		return true;
	exec_env_remove(env);
	return false;
}

void exec_env_remove(const struct exec_env *env)
{
	char path[PATH_MAX_OCTETS];
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(path_of(env, files[i], path));
	rmdir(env->folder);
}

static bool set(const char *name, const char *value)
{
	return setenv(name, value, 1) == 0;
}

/* Adds to what the user has set already: JAVA_TOOL_OPTIONS and NODE_OPTIONS are lists. */
static bool append(const char *name, const char *value)
{
	char joined[4096];
	const char *old = getenv(name);
	int n = snprintf(joined, sizeof(joined), "%s%s%s", old ? old : "", old && old[0] ? " " : "", value);
	return n > 0 && (size_t)n < sizeof(joined) && set(name, joined);
}

static bool set_trust(const struct exec_env *env)
{
	static const char *const with_system[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE",
		"GIT_SSL_CAINFO", "PIP_CERT", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO", "npm_config_cafile",
		"NIX_SSL_CERT_FILE", "PERL_LWP_SSL_CA_FILE", "HTTPLIB2_CA_CERTS", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
		"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "DENO_CERT"};
	char path[PATH_MAX_OCTETS];
	path_of(env, "bundle.pem", path);
	for (size_t i = 0; i < sizeof(with_system) / sizeof(with_system[0]); i++) {
		if (!set(with_system[i], path))
			return false;
	}
	/* Node adds these to its own. */
	return set("NODE_EXTRA_CA_CERTS", path_of(env, "ca.pem", path)) &&
	       set("APT_CONFIG", path_of(env, "apt.conf", path)) && set("WGETRC", path_of(env, "wgetrc", path));
}

bool exec_env_proxy(const char *url)
{
	static const char *const names[] = {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy",
		"ALL_PROXY", "npm_config_proxy", "npm_config_https_proxy"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!set(names[i], url))
			return false;
	}
	/* Exceptions of the surrounding shell would be holes here. Two look at all this only when told to. */
	return unsetenv("no_proxy") == 0 && unsetenv("NO_PROXY") == 0 && set("NODE_USE_ENV_PROXY", "1") &&
	       set("PERL_LWP_ENV_PROXY", "1");
}

static bool set_proxy(uint16_t port)
{
	char url[64], number[8];
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	snprintf(number, sizeof(number), "%u", port);
	return exec_env_proxy(url) && set("OVERT_PROXY_PORT", number);
}

bool exec_env_set(const struct exec_env *env, uint16_t port)
{
	char java[1024], node[PATH_MAX_OCTETS + 32], path[PATH_MAX_OCTETS];
	snprintf(java, sizeof(java),
		"-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=%u -Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=%u "
		"-Dhttp.nonProxyHosts= -Djavax.net.ssl.trustStore=%s -Djavax.net.ssl.trustStoreType=PKCS12 "
		"-Djavax.net.ssl.trustStorePassword=" STORE_PASSWORD,
		port, port, path_of(env, "trust.p12", path));
	snprintf(node, sizeof(node), "--require=%s", path_of(env, "node.cjs", path));
	return set_trust(env) && set_proxy(port) && append("JAVA_TOOL_OPTIONS", java) && append("NODE_OPTIONS", node);
}
