#include "assess/status.h"

#include "assess/serving.h"
#include "assess/target.h"
#include "base/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BODY_MAX    ((size_t)4096)
#define REQUEST_MAX ((size_t)4096)
#define SERVE_NS    (2 * NS_PER_S)

struct status {
	struct serving *serving;
	pthread_mutex_t lock; /* of all below */
	uint8_t crl[BODY_MAX], ocsp[BODY_MAX];
	size_t crl_len, ocsp_len;
	unsigned asked_crl, asked_ocsp;
};

/* The head of a request; what stands behind it is a question that has one answer here. */
static bool read_head(int fd, char *out, size_t cap)
{
	uint64_t deadline_ns = clock_monotonic_ns() + SERVE_NS;
	size_t len = 0;
	while (len + 1 < cap && wait_until(fd, POLLIN, deadline_ns)) {
		ssize_t n = recv(fd, out + len, cap - 1 - len, 0);
		if (n <= 0)
			return false;
		len += (size_t)n;
		out[len] = '\0';
		if (strstr(out, "\r\n\r\n"))
			return true;
	}
	return false;
}

static void serve(void *arg, const struct serving *self, int fd)
{
	(void)self;
	struct status *status = arg;
	char head[REQUEST_MAX], reply[BODY_MAX + 256];
	if (!read_head(fd, head, sizeof(head)))
		return;
	head[strcspn(head, "\r\n")] = '\0';
	bool crl = strstr(head, " /crl") != NULL, ocsp = strstr(head, " /ocsp") != NULL;
	pthread_mutex_lock(&status->lock);
	status->asked_crl += crl;
	status->asked_ocsp += ocsp;
	struct bytes body = crl    ? bytes_of(status->crl, status->crl_len)
	                    : ocsp ? bytes_of(status->ocsp, status->ocsp_len)
	                           : BYTES_NONE;
	int n = snprintf(reply, sizeof(reply),
		"HTTP/1.1 %s\r\nContent-Type: application/%s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		body.len > 0 ? "200 OK" : "404 Not Found", crl ? "pkix-crl" : "ocsp-response", body.len);
	if (body.len > 0)
		memcpy(reply + n, body.data, body.len);
	pthread_mutex_unlock(&status->lock);
	(void)!send(fd, reply, (size_t)n + body.len, MSG_NOSIGNAL);
}

struct status *status_new(struct bytes crl, struct error *err)
{
	struct status *status = calloc(1, sizeof(*status));
	if (!status || crl.len > BODY_MAX) {
		free(status);
		error_set(err, "no memory");
		return NULL;
	}
	pthread_mutex_init(&status->lock, NULL);
	memcpy(status->crl, crl.data, crl.len);
	status->crl_len = crl.len;
	status->serving = serving_new("127.0.0.1", 0, serve, status, err);
	if (status->serving)
		return status;
	error_prefix(err, "the status of certificates");
	status_free(status);
	return NULL;
}

void status_free(struct status *status)
{
	if (!status)
		return;
	serving_free(status->serving);
	pthread_mutex_destroy(&status->lock);
	free(status);
}

uint16_t status_port(const struct status *status)
{
	return serving_port(status->serving);
}

bool status_answer(struct status *status, struct bytes ocsp)
{
	if (ocsp.len > BODY_MAX)
		return false;
	pthread_mutex_lock(&status->lock);
	if (ocsp.len > 0)
		memcpy(status->ocsp, ocsp.data, ocsp.len);
	status->ocsp_len = ocsp.len;
	status->asked_crl = status->asked_ocsp = 0;
	pthread_mutex_unlock(&status->lock);
	return true;
}

void status_asked(struct status *status, unsigned *crl, unsigned *ocsp)
{
	pthread_mutex_lock(&status->lock);
	*crl = status->asked_crl;
	*ocsp = status->asked_ocsp;
	pthread_mutex_unlock(&status->lock);
}
