#include "collect/link.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <unistd.h>

bool link_init(
	struct link *link, struct loop *loop, SSL *ssl, int fd, size_t out_cap, void (*ready)(struct loop_io *io))
{
	*link = (struct link){.loop = loop, .ssl = ssl, .out = {.cap = out_cap}, .io = {.fd = -1}};
	if (SSL_set_fd(ssl, fd) == 1 && loop_add(loop, &link->io, fd, ready))
		return true;
	SSL_free(ssl);
	close(fd);
	*link = (struct link){0};
	return false;
}

void link_close(struct link *link)
{
	if (!link->ssl)
		return;
	ERR_clear_error();
	if (SSL_is_init_finished(link->ssl) && !link->stalled && !link->fault.text[0])
		(void)SSL_shutdown(link->ssl);
	ERR_clear_error();
	loop_remove(link->loop, &link->io);
	close(link->io.fd);
	SSL_free(link->ssl);
	buffer_clear(&link->out);
	*link = (struct link){0};
}

/* What a certificate was refused for says more than that one was. */
static enum link_result failed(struct link *link)
{
	long verdict = SSL_get_verify_result(link->ssl);
	if (verdict != X509_V_OK)
		(void)error_set(
			&link->fault, "the certificate was refused: %s", X509_verify_cert_error_string(verdict));
	else
		(void)error_set_openssl(&link->fault, "TLS");
	ERR_clear_error();
	return LINK_FAILED;
}

/* `reading`: whether it was a read that waits, or the handshake's. */
static enum link_result result_of(struct link *link, int returned)
{
	switch (SSL_get_error(link->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
		link->io.readable = false;
		return LINK_WAIT;
	case SSL_ERROR_WANT_WRITE:
		link->io.writable = false;
		return LINK_WAIT;
	case SSL_ERROR_ZERO_RETURN:
		return LINK_END;
	case SSL_ERROR_SYSCALL:
		if (ERR_peek_error() == 0)
			(void)error_set_errno(&link->fault, "the connection broke");
		return ERR_peek_error() ? failed(link) : LINK_FAILED;
	default:
		if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
			ERR_clear_error();
			return LINK_END;
		}
		return failed(link);
	}
}

enum link_result link_handshake(struct link *link)
{
	ERR_clear_error();
	int returned = SSL_do_handshake(link->ssl);
	return returned == 1 ? LINK_OK : result_of(link, returned);
}

enum link_result link_read(struct link *link, void *room, size_t cap, size_t *len)
{
	ERR_clear_error();
	int returned = SSL_read_ex(link->ssl, room, cap, len);
	return returned == 1 ? LINK_OK : result_of(link, returned);
}

size_t link_space(const struct link *link)
{
	return link->out.cap - link->out.len;
}

enum link_result link_flush(struct link *link)
{
	while (link->out.len > 0) {
		size_t sent = 0;
		ERR_clear_error();
		int returned = SSL_write_ex(link->ssl, link->out.data, link->out.len, &sent);
		link->stalled = returned != 1;
		if (returned != 1)
			return result_of(link, returned);
		link->sent += sent;
		buffer_drop(&link->out, sent);
	}
	return LINK_OK;
}

enum link_result link_send(struct link *link, struct bytes octets)
{
	if (!buffer_add(&link->out, octets)) {
		(void)error_set(&link->fault, "it does not read what it is sent");
		return LINK_FAILED;
	}
	/* A write that waits must be given the same octets again: they are, for they stay at the front. */
	return link->stalled && !link->io.writable ? LINK_WAIT : link_flush(link);
}
