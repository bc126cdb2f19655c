/*
 * address: Internet addresses as text and as bytes, and networks of them.
 *
 * What other programs write about a connection (PROXY headers, X-Forwarded-For) and what an operator writes about whom to trust. The text is borrowed and need
 * not end with a zero byte.
 */
#ifndef TIDEWIRE_CODEC_ADDRESS_H
#define TIDEWIRE_CODEC_ADDRESS_H

#include "codec/bytes.h"

enum address_family {
    ADDRESS_NONE,
    ADDRESS_IPV4,
    ADDRESS_IPV6,
};

struct address {
    uint8_t family;    /* enum address_family */
    uint8_t bytes[16]; /* IPv4: the first 4, the others are zero */
};

/* The addresses whose first `bits` bits are those of `base`. */
struct address_network {
    struct address base;
    uint8_t bits;
};

/*
 * Dotted IPv4 of four decimal numbers without leading zeros, or IPv6 as in RFC 4291 2.2 (without a zone). False for anything else; `*out` is then
 * untouched.
 */
bool address_parse(struct bytes text, struct address *out);

/* An address, or an address, '/' and a number of bits. Bits behind those that count must be zero: a slip is more likely than a meaning. */
bool address_parse_network(struct bytes text, struct address_network *out);

/* IPv4 in IPv6 (::ffff:a.b.c.d) counts as IPv4. */
bool address_in_network(const struct address *address, const struct address_network *network);

#endif
