#include "codec/address.h"

#define GROUPS 8u

/* One decimal number up to `max`, without leading zeros. */
static bool
read_decimal(struct reader *r, uint32_t max, uint32_t *out)
{
    uint32_t value = 0;
    const uint8_t *start = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9' && value <= max) {
        value = value * 10 + (uint32_t)(*r->at++ - '0');
    }
    *out = value;
    return r->at > start && value <= max && (*start != '0' || r->at == start + 1);
}

static bool
parse_ipv4(struct reader r, uint8_t out[4])
{
    for (unsigned i = 0; i < 4; i++) {
        uint32_t value;
        if ((i > 0 && reader_u8(&r) != '.') || !read_decimal(&r, 255, &value)) {
            return false;
        }
        out[i] = (uint8_t)value;
    }
    return r.at == r.end;
}

static int
hex_digit(uint8_t c)
{
    uint8_t low = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* One to four hexadecimal digits. */
static bool
read_group(struct reader *r, uint8_t out[2])
{
    uint32_t value = 0;
    const uint8_t *start = r->at;
    while (r->at < r->end && r->at - start < 4 && hex_digit(*r->at) >= 0) {
        value = value << 4 | (uint32_t)hex_digit(*r->at++);
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return r->at > start;
}

static bool
skip_text(struct reader *r, const char *text)
{
    uint32_t size = (uint32_t)strlen(text);
    bool there = reader_left(r) >= size && memcmp(r->at, text, size) == 0;
    r->at += there ? size : 0;
    return there;
}

/* The last four bytes as dotted IPv4: then that is all that is left. */
static bool
read_embedded_ipv4(struct reader *r, unsigned groups, uint8_t *out)
{
    if (groups > GROUPS - 2 || !parse_ipv4(*r, out)) {
        return false;
    }
    r->at = r->end;
    return true;
}

/* Groups with colons between them, from group `from` on, up to the end or a "::"; returns how many there are in all, or GROUPS + 1. */
static unsigned
read_groups(struct reader *r, unsigned from, uint8_t out[16])
{
    unsigned count = from;
    while (r->at < r->end && count < GROUPS) {
        if (read_embedded_ipv4(r, count, out + 2 * count)) {
            return count + 2;
        }
        if (!read_group(r, out + 2 * count)) {
            return GROUPS + 1;
        }
        count++;
        if (r->at == r->end || (reader_left(r) >= 2 && memcmp(r->at, "::", 2) == 0)) {
            return count;
        }
        if (reader_u8(r) != ':' || r->at == r->end) {
            return GROUPS + 1;
        }
    }
    return r->at == r->end ? count : GROUPS + 1;
}

static bool
parse_ipv6(struct reader r, uint8_t out[16])
{
    bool gap_first = reader_left(&r) >= 2 && memcmp(r.at, "::", 2) == 0;
    unsigned head = gap_first ? 0 : read_groups(&r, 0, out);
    if (head > GROUPS) {
        return false;
    }
    if (!skip_text(&r, "::")) {
        return head == GROUPS && r.at == r.end;
    }
    unsigned all = r.at == r.end ? head : read_groups(&r, head, out);
    if (all >= GROUPS || r.at != r.end) {
        return false; /* a gap stands for one group at least, and there is one only */
    }
    unsigned tail = all - head;
    memmove(out + 2 * (GROUPS - tail), out + 2 * head, 2 * tail);
    memset(out + 2 * head, 0, 2 * (GROUPS - all));
    return true;
}

bool
address_parse(struct bytes text, struct address *out)
{
    struct address address = {.family = ADDRESS_IPV4};
    if (!parse_ipv4(reader_of(text), address.bytes)) {
        address = (struct address){.family = ADDRESS_IPV6};
        if (!parse_ipv6(reader_of(text), address.bytes)) {
            return false;
        }
    }
    *out = address;
    return true;
}

/* True if the bits behind the first `bits` are the same in both. */
static bool
same_from(const struct address *a, const struct address *b, unsigned bits, unsigned to)
{
    for (unsigned i = bits; i < to; i++) {
        uint8_t bit = (uint8_t)(0x80u >> (i & 7));
        if (((a->bytes[i >> 3] ^ b->bytes[i >> 3]) & bit) != 0) {
            return false;
        }
    }
    return true;
}

bool
address_parse_network(struct bytes text, struct address_network *out)
{
    const uint8_t *slash = text.size > 0 ? memchr(text.data, '/', text.size) : NULL;
    uint32_t host_size = slash != NULL ? (uint32_t)(slash - text.data) : text.size;
    struct address_network network;
    if (!address_parse(bytes_of(text.data, host_size), &network.base)) {
        return false;
    }
    uint32_t width = network.base.family == ADDRESS_IPV4 ? 32 : 128;
    uint32_t bits = width;
    if (slash != NULL) {
        struct reader r = reader_of(bytes_of(slash + 1, text.size - host_size - 1));
        if (!read_decimal(&r, width, &bits) || r.at != r.end) {
            return false;
        }
    }
    const struct address zero = {0};
    network.bits = (uint8_t)bits;
    if (!same_from(&network.base, &zero, bits, width)) {
        return false;
    }
    *out = network;
    return true;
}

/* ::ffff:a.b.c.d becomes a.b.c.d; others stay. */
static struct address
unmapped(const struct address *address)
{
    static const uint8_t prefix[12] = {[10] = 0xff, 0xff};
    if (address->family != ADDRESS_IPV6 || memcmp(address->bytes, prefix, sizeof prefix) != 0) {
        return *address;
    }
    struct address v4 = {.family = ADDRESS_IPV4};
    memcpy(v4.bytes, address->bytes + sizeof prefix, 4);
    return v4;
}

bool
address_in_network(const struct address *address, const struct address_network *network)
{
    struct address plain = unmapped(address);
    return plain.family != ADDRESS_NONE && plain.family == network->base.family && same_from(&plain, &network->base, 0, network->bits);
}
