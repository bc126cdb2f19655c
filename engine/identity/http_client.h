/*
 * http_client: one POST of JSON to an HTTP server, and its answer; blocking, for worker threads. libcurl does the work.
 *
 * Bounds: the time of the whole request (name, connection, TLS, answer), the bytes of the answer's body and of its headers. Redirects are not followed, proxies of
 * the environment not used, nothing but http and https is spoken, certificates are verified, no signal is used. Each thread keeps its connections open for the
 * next request.
 *
 * Threads  http_client_begin: before there are workers. http_post: any, with a target that never changes.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_HTTP_CLIENT_H
#define TIDEWIRE_ENGINE_IDENTITY_HTTP_CLIENT_H

#include "codec/bytes.h"

#include <stddef.h>

#define HTTP_ANSWER_BYTES_MAX 16384u
#define HTTP_HEADER_BYTES_MAX 16384u

struct http_target {
    const char *url;
    const char *const *headers; /* `Name: value`, sent with each request */
    uint32_t header_count;
    const char *ca_file;        /* NULL: the system's certificates */
    uint32_t timeout_ms;
};

enum http_problem {
    HTTP_ANSWERED,
    HTTP_TIMED_OUT,
    HTTP_TOO_LARGE,
    HTTP_NO_CONNECTION, /* name, connection, TLS, or what came back is no HTTP */
};

struct http_answer {
    enum http_problem problem;
    uint16_t status;            /* HTTP_ANSWERED */
    uint32_t size;
    uint8_t body[HTTP_ANSWER_BYTES_MAX];
};

/* Sets libcurl up, once per process. False if it cannot be, or lacks TLS that `https` needs. */
bool http_client_begin(void);

/* Whether the address is one that a request can go to: http or https, a host, nothing that does not belong there. */
bool http_url_check(const char *url);

void http_post(const struct http_target *target, struct bytes body, struct http_answer *answer);

#endif
