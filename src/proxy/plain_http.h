/*
 * proxy/plain_http.h — absolute-form requests on the explicit port: plain HTTP, one request per upstream connection, any
 * number per client connection (RFC 9112, 3.2.2). Each request is a flow of its own.
 */
#ifndef PROXY_PLAIN_HTTP_H
#define PROXY_PLAIN_HTTP_H

struct conn;
struct plain_http;

/* The opening holds a request whose head was read (opening->http). */
void plain_http_begin(struct conn *conn);
/* Harmless on NULL. */
void plain_http_free(struct plain_http *plain);

#endif
