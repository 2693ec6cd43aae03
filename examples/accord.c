/*
 * Fetches https://HOST:PORT/ over Accord and says who stands between: accord ANCHORS TRUST HOST PORT [PROXY-PORT]. With
 * the last, through an HTTP proxy on this machine.
 *
 *	cc accord.c $(pkg-config --cflags --libs overt openssl) -o accord
 */
#include <overt/accord.h>

#include <stdio.h>
#include <string.h>

static BIO *reach(const char *host, const char *port, const char *proxy_port)
{
	char text[1024];
	snprintf(text, sizeof(text), "%s:%s", proxy_port ? "127.0.0.1" : host, proxy_port ? proxy_port : port);
	BIO *bio = BIO_new_connect(text);
	if (!bio || BIO_do_connect(bio) != 1 || !proxy_port)
		return bio;
	BIO_printf(bio, "CONNECT %s:%s HTTP/1.1\r\n\r\n", host, port);
	memset(text, 0, sizeof(text));
	for (size_t n = 0; n < sizeof(text) - 1 && !strstr(text, "\r\n\r\n") && BIO_read(bio, text + n, 1) == 1; n++)
		;
	return bio;
}

static void tell(SSL *ssl)
{
	struct overt_accord_server server;
	struct overt_accord_proxy proxy;
	if (overt_accord_server(ssl, &server))
		fprintf(stderr, "%s itself signed%s\n", server.name, server.accepts ? ", and accepts" : "");
	for (size_t i = 0; overt_accord_proxy(ssl, i, &proxy); i++)
		fprintf(stderr, "%s %s this: %s\n", proxy.name,
			proxy.role == OVERT_ACCORD_READER ? "reads" : "may change", proxy.purpose);
}

static int talk(SSL *ssl, char **argv)
{
	char data[4096];
	BIO *bio = reach(argv[3], argv[4], argv[5]);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_tlsext_host_name(ssl, argv[3]);
	if (SSL_connect(ssl) != 1 || !overt_accord_passed(ssl))
		return fprintf(stderr, "check %u: %s\n", overt_accord_failed_check(ssl), overt_accord_reason(ssl)), 1;
	tell(ssl);
	int n = snprintf(data, sizeof(data), "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", argv[3]);
	SSL_write(ssl, data, n);
	while ((n = SSL_read(ssl, data, sizeof(data))) > 0)
		fwrite(data, 1, (size_t)n, stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct overt_error error = {"accord ANCHORS TRUST HOST PORT [PROXY-PORT]"};
	struct overt_accord_options options = {.anchors = argv[1], .trust = argc > 4 ? argv[2] : NULL};
	struct overt_accord *accord = argc > 4 ? overt_accord_new(&options, &error) : NULL;
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int code = 2;
	if (accord && overt_accord_attach(accord, ctx, &error)) {
		SSL *ssl = SSL_new(ctx);
		code = talk(ssl, argv);
		SSL_free(ssl);
	} else {
		fprintf(stderr, "%s\n", error.text);
	}
	SSL_CTX_free(ctx);
	overt_accord_free(accord);
	return code;
}
