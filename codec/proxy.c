#include "codec/proxy.h"

#include <assert.h>

#define LINE_MAX_BYTES 107u
#define PREAMBLE 16u
#define UNIX_PATH 108u

enum command {
    COMMAND_LOCAL = 0x20, /* with version 2 in the high half */
    COMMAND_PROXY = 0x21,
};

enum family {
    FAMILY_UNSPECIFIED,
    FAMILY_IPV4,
    FAMILY_IPV6,
    FAMILY_UNIX,
};

enum tlv_type {
    TLV_CRC32C = 0x03,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CN = 0x22,
    TLV_SSL_CIPHER = 0x23,
};

enum client_bits {
    CLIENT_SSL = 1,
    CLIENT_CERTIFICATE_NOW = 2,     /* in this connection */
    CLIENT_CERTIFICATE_SESSION = 4, /* in the session that this one resumed */
};

/* -------------------------------------------------------------------------------------------------------------- version 1 */

static const char line_start[] = "PROXY ";

/* The next word up to a space or the end. */
static struct bytes
next_word(struct bytes *line)
{
    const uint8_t *space = line->size > 0 ? memchr(line->data, ' ', line->size) : NULL;
    uint32_t size = space != NULL ? (uint32_t)(space - line->data) : line->size;
    uint32_t used = size + (space != NULL);
    struct bytes word = bytes_of(line->data, size);
    *line = bytes_of(line->data + used, line->size - used);
    return word;
}

static bool
word_is(struct bytes word, const char *text)
{
    return bytes_equal(word, bytes_of(text, (uint32_t)strlen(text)));
}

static bool
read_port(struct bytes word, uint16_t *port)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < word.size; i++) {
        if (word.data[i] < '0' || word.data[i] > '9' || i == 5) {
            return false;
        }
        value = value * 10 + (uint32_t)(word.data[i] - '0');
    }
    *port = (uint16_t)value;
    return word.size > 0 && value <= UINT16_MAX && (word.data[0] != '0' || word.size == 1);
}

/* After `PROXY `, without CR LF. */
static bool
read_line(struct bytes line, struct proxy *out)
{
    struct bytes family = next_word(&line);
    if (word_is(family, "UNKNOWN")) {
        out->local = true; /* the rest of the line is to be ignored */
        return true;
    }
    if (line.size > 0 && line.data[line.size - 1] == ' ') {
        return false;
    }
    uint8_t wanted = word_is(family, "TCP4") ? ADDRESS_IPV4 : word_is(family, "TCP6") ? ADDRESS_IPV6 : ADDRESS_NONE;
    struct address destination;
    uint16_t destination_port;
    return wanted != ADDRESS_NONE && address_parse(next_word(&line), &out->source) && address_parse(next_word(&line), &destination) &&
           read_port(next_word(&line), &out->source_port) && read_port(next_word(&line), &destination_port) && line.size == 0 &&
           out->source.family == wanted && destination.family == wanted;
}

static enum proxy_status
read_version_1(struct bytes input, struct proxy *out)
{
    const uint32_t start_size = sizeof line_start - 1;
    uint32_t have = input.size < start_size ? input.size : start_size;
    if (have > 0 && memcmp(input.data, line_start, have) != 0) {
        return PROXY_MALFORMED;
    }
    uint32_t visible = input.size < LINE_MAX_BYTES ? input.size : LINE_MAX_BYTES;
    const uint8_t *feed = visible > 0 ? memchr(input.data, '\n', visible) : NULL;
    if (feed == NULL) {
        return visible < LINE_MAX_BYTES ? PROXY_NEED_MORE : PROXY_MALFORMED;
    }
    uint32_t size = (uint32_t)(feed - input.data) + 1;
    if (size < start_size + 2 || feed[-1] != '\r') {
        return PROXY_MALFORMED;
    }
    out->size = size;
    return read_line(bytes_of(input.data + start_size, size - start_size - 2), out) ? PROXY_DONE : PROXY_MALFORMED;
}

/* -------------------------------------------------------------------------------------------------------------- version 2 */

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

/* Castagnoli's polynomial, reflected; four bits at a time, as headers are short. */
static uint32_t
crc32c_add(uint32_t crc, struct bytes b)
{
    static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
                                       0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
    for (uint32_t i = 0; i < b.size; i++) {
        crc ^= b.data[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}

/* Over the whole header, with zeros where the checksum itself stands. */
static bool
checksum_is_right(struct bytes header, struct bytes checksum)
{
    static const uint8_t zeros[4];
    struct reader r = reader_of(checksum);
    uint32_t told = reader_u32(&r);
    if (r.failed || checksum.size != 4) {
        return false;
    }
    uint32_t before = (uint32_t)(checksum.data - header.data);
    uint32_t crc = crc32c_add(UINT32_MAX, bytes_of(header.data, before));
    crc = crc32c_add(crc, bytes_of(zeros, sizeof zeros));
    crc = crc32c_add(crc, bytes_of(checksum.data + 4, header.size - before - 4));
    return (crc ^ UINT32_MAX) == told;
}

/* A type, and a value with its size in front. */
static struct bytes
read_tlv(struct reader *r, uint8_t *type)
{
    *type = reader_u8(r);
    return reader_binary(r);
}

static bool
read_tls_parts(struct reader *r, struct proxy *out)
{
    while (!r->failed && r->at < r->end) {
        uint8_t type;
        struct bytes value = read_tlv(r, &type);
        if (type == TLV_SSL_CN) {
            out->common_name = value;
        } else if (type == TLV_SSL_VERSION) {
            out->tls_version = value;
        } else if (type == TLV_SSL_CIPHER) {
            out->cipher = value;
        }
    }
    return !r->failed && utf8_check(out->common_name) && utf8_check(out->tls_version) && utf8_check(out->cipher);
}

/* Which bits the client has, whether its certificate was verified (0: it was), and the details. */
static bool
read_tls(struct bytes value, struct proxy *out)
{
    struct reader r = reader_of(value);
    uint8_t client = reader_u8(&r);
    uint32_t not_verified = reader_u32(&r);
    if (r.failed || !read_tls_parts(&r, out)) {
        return false;
    }
    out->tls = client & CLIENT_SSL;
    out->certificate = out->tls && (client & (CLIENT_CERTIFICATE_NOW | CLIENT_CERTIFICATE_SESSION)) != 0 && not_verified == 0;
    if (!out->certificate) {
        out->common_name = bytes_of(NULL, 0);
    }
    return true;
}

static bool
read_tlvs(struct reader *r, struct bytes header, struct proxy *out)
{
    bool tls_seen = false;
    while (!r->failed && r->at < r->end) {
        uint8_t type;
        struct bytes value = read_tlv(r, &type);
        if (r->failed || (type == TLV_CRC32C && !checksum_is_right(header, value))) {
            return false;
        }
        if (type == TLV_SSL) {
            if (tls_seen || !read_tls(value, out)) {
                return false;
            }
            tls_seen = true;
        }
    }
    return !r->failed;
}

/* Source address, destination address, source port, destination port. */
static void
read_addresses(struct reader *r, uint8_t family, uint32_t size, struct proxy *out)
{
    struct bytes source = reader_take(r, size);
    reader_take(r, size);
    out->source_port = reader_u16(r);
    reader_u16(r);
    if (!r->failed) {
        out->source.family = family;
        memcpy(out->source.bytes, source.data, size);
    }
}

/* The family in the high half, stream (1) or datagram (2) in the low one. */
static bool
read_family(struct reader *r, uint8_t code, struct proxy *out)
{
    if ((code & 15) > 2 || ((code >> 4 == FAMILY_UNSPECIFIED) != ((code & 15) == 0))) {
        return false;
    }
    switch (code >> 4) {
    case FAMILY_UNSPECIFIED:
        out->local = true;
        return true;
    case FAMILY_IPV4:
        read_addresses(r, ADDRESS_IPV4, 4, out);
        return !r->failed;
    case FAMILY_IPV6:
        read_addresses(r, ADDRESS_IPV6, 16, out);
        return !r->failed;
    case FAMILY_UNIX:
        reader_take(r, 2 * UNIX_PATH);
        out->unix_socket = true;
        return !r->failed;
    default:
        return false;
    }
}

static bool
read_header(struct bytes header, struct proxy *out)
{
    uint8_t command = header.data[12], family = header.data[13];
    struct reader r = reader_of(bytes_of(header.data + PREAMBLE, header.size - PREAMBLE));
    if (command == COMMAND_LOCAL) {
        out->local = true; /* what follows is to be ignored */
        return true;
    }
    return read_family(&r, family, out) && read_tlvs(&r, header, out);
}

static enum proxy_status
read_version_2(struct bytes input, struct proxy *out)
{
    uint32_t have = input.size < sizeof signature ? input.size : (uint32_t)sizeof signature;
    if (have > 0 && memcmp(input.data, signature, have) != 0) {
        return PROXY_MALFORMED;
    }
    if (input.size > 12 && input.data[12] != COMMAND_LOCAL && input.data[12] != COMMAND_PROXY) {
        return PROXY_MALFORMED;
    }
    if (input.size < PREAMBLE) {
        return PROXY_NEED_MORE;
    }
    uint32_t size = PREAMBLE + ((uint32_t)input.data[14] << 8 | input.data[15]);
    if (size > PROXY_SIZE_MAX) {
        return PROXY_MALFORMED;
    }
    if (input.size < size) {
        return PROXY_NEED_MORE;
    }
    out->size = size;
    return read_header(bytes_of(input.data, size), out) ? PROXY_DONE : PROXY_MALFORMED;
}

enum proxy_status
proxy_read(struct bytes input, unsigned version, struct proxy *out)
{
    assert(version == 1 || version == 2);
    memset(out, 0, sizeof *out);
    return version == 1 ? read_version_1(input, out) : read_version_2(input, out);
}
