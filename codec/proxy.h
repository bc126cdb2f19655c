/*
 * proxy: the header with which a load balancer says whose connection it passes on (HAProxy's PROXY protocol, versions 1 and 2).
 *
 *   version 1   PROXY TCP4 203.0.113.7 192.0.2.1 51234 1883 CR LF
 *   version 2   signature | version and command | family | size | addresses | TLVs
 *
 * A listener expects one version; which one a connection speaks is never guessed, because a header that is taken for data, or the other way round, lets a
 * client choose its own address.
 *
 * Memory   results borrow from the input.
 */
#ifndef TIDEWIRE_CODEC_PROXY_H
#define TIDEWIRE_CODEC_PROXY_H

#include "codec/address.h"

/* The whole header; raising it costs memory before anybody has proved anything. Version 1 has at most 107 bytes. */
#define PROXY_SIZE_MAX 4096u

enum proxy_status {
    PROXY_DONE,
    PROXY_NEED_MORE,
    PROXY_MALFORMED,
};

struct proxy {
    uint32_t size;          /* with PROXY_DONE: of the header */
    bool local;             /* LOCAL or UNKNOWN: the proxy speaks for itself, or does not know: the socket's own peer counts */
    bool unix_socket;       /* the client came through a Unix socket of the proxy: there is no address */
    struct address source;  /* family ADDRESS_NONE: none was said */
    uint16_t source_port;

    /* Version 2 only. */
    bool tls;               /* the client speaks TLS with the proxy */
    bool certificate;       /* ... has shown a certificate, and the proxy has found it good */
    struct bytes common_name; /* of that certificate; empty: not told, or the certificate is not good. Well-formed UTF-8 */
    struct bytes tls_version, cipher; /* as the proxy calls them; empty: not told */
};

/*
 * `version`: 1 or 2. Malformed: another start, a line that is no header (version 1), an unknown version, command or address family, addresses or TLVs that do
 * not fit, a second TLS block, a checksum that is wrong, a header of more than PROXY_SIZE_MAX bytes. Addresses of datagram sockets count as such
 * of streams. TLVs that say nothing about the client are passed over.
 */
enum proxy_status proxy_read(struct bytes input, unsigned version, struct proxy *out);

#endif
