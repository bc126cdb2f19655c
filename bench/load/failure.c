#include "bench/load/failure.h"

#include <string.h>

#include "bench/load/secure.h"
#include "codec/reason.h"

enum detail_kind {
    DETAIL_NONE,
    DETAIL_ERRNO,
    DETAIL_REASON,
    DETAIL_PACKET,
    DETAIL_TLS,
    DETAIL_CERTIFICATE,
    DETAIL_STATUS,
};

static const struct {
    const char *name;
    const char *words; /* "12 connections <words>" */
    enum detail_kind detail;
} kinds[FAILURE_KINDS] = {
    [FAILURE_CONNECT] = {"connect", "could not be made", DETAIL_ERRNO},
    [FAILURE_REFUSED] = {"refused", "refused by the broker", DETAIL_REASON},
    [FAILURE_SUBSCRIBE] = {"subscribe", "not given the subscription", DETAIL_REASON},
    [FAILURE_NO_ANSWER] = {"no_answer", "got no answer to CONNECT or SUBSCRIBE", DETAIL_NONE},
    [FAILURE_NOT_BEGUN] = {"not_begun", "not begun, because the broker did not answer", DETAIL_NONE},
    [FAILURE_CLOSED] = {"closed", "closed by the broker", DETAIL_NONE},
    [FAILURE_RESET] = {"reset", "broken", DETAIL_ERRNO},
    [FAILURE_DISCONNECT] = {"disconnect", "sent away with DISCONNECT", DETAIL_REASON},
    [FAILURE_MALFORMED] = {"malformed", "given bytes that are no MQTT", DETAIL_REASON},
    [FAILURE_UNEXPECTED] = {"unexpected", "given a packet that nothing asked for", DETAIL_PACKET},
    [FAILURE_ACK_REFUSED] = {"ack_refused", "had a message refused", DETAIL_REASON},
    [FAILURE_TLS] = {"tls", "failed in TLS", DETAIL_TLS},
    [FAILURE_CERTIFICATE] = {"certificate", "did not trust the broker's certificate", DETAIL_CERTIFICATE},
    [FAILURE_NOT_RESUMED] = {"not_resumed", "needed a full handshake: the broker did not resume the session", DETAIL_NONE},
    [FAILURE_UPGRADE] = {"upgrade", "not upgraded to WebSocket", DETAIL_STATUS},
    [FAILURE_FRAME] = {"frame", "given a WebSocket frame that is wrong", DETAIL_NONE},
    [FAILURE_SESSION] = {"session", "came back and found its session gone", DETAIL_NONE},
    [FAILURE_STALLED] = {"stalled", "had messages outstanding when the broker stalled", DETAIL_NONE},
    [FAILURE_UNSENT] = {"unsent", "left with bytes that the broker had not taken", DETAIL_NONE},
};

void
failure_add(struct failure_log *log, enum failure_kind kind, uint32_t connection, const char *role, int detail, uint64_t at_ns)
{
    struct failure_entry *e = &log->kinds[kind];

    log->total++;
    e->last_at_ns = at_ns;
    if (e->count++ > 0) {
        return;
    }
    e->first_at_ns = at_ns;
    e->first_connection = connection;
    e->first_detail = detail;
    snprintf(e->first_role, sizeof e->first_role, "%s", role);
}

static void
merge_entry(struct failure_entry *e, const struct failure_entry *from)
{
    struct failure_entry first = e->count == 0 || (from->count > 0 && from->first_at_ns < e->first_at_ns) ? *from : *e;

    first.count = e->count + from->count;
    first.last_at_ns = e->last_at_ns > from->last_at_ns ? e->last_at_ns : from->last_at_ns;
    *e = first;
}

void
failure_merge(struct failure_log *log, const struct failure_log *from)
{
    log->total += from->total;
    for (int k = 0; k < FAILURE_KINDS; k++) {
        merge_entry(&log->kinds[k], &from->kinds[k]);
    }
}

const char *
failure_name(enum failure_kind kind)
{
    return kinds[kind].name;
}

static const char *
describe_status(int status)
{
    static char text[32];
    if (status == 101) {
        return "HTTP status 101, but not what was asked for";
    }
    snprintf(text, sizeof text, status == 0 ? "no HTTP" : "HTTP status %d", status);
    return text;
}

const char *
failure_describe_detail(enum failure_kind kind, int detail)
{
    static const char *const packets[16] = {"?", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
        "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"};

    switch (kinds[kind].detail) {
    case DETAIL_ERRNO: return strerror(detail);
    case DETAIL_REASON: return reason_name((uint8_t)detail);
    case DETAIL_PACKET: return packets[detail & 15];
    case DETAIL_TLS: return secure_describe_error(detail);
    case DETAIL_CERTIFICATE: return secure_describe_certificate(detail);
    case DETAIL_STATUS: return describe_status(detail);
    case DETAIL_NONE: break;
    }
    return "";
}

void
failure_print(const struct failure_log *log, FILE *out, const char *prefix)
{
    for (int k = 0; k < FAILURE_KINDS; k++) {
        const struct failure_entry *e = &log->kinds[k];
        if (e->count == 0) {
            continue;
        }
        const char *detail = failure_describe_detail((enum failure_kind)k, e->first_detail);
        fprintf(out, "%s%llu connection%s %s: the first was connection %u (%s) at %.3f s", prefix, (unsigned long long)e->count,
            e->count == 1 ? "" : "s", kinds[k].words, e->first_connection, e->first_role, (double)e->first_at_ns / 1e9);
        if (e->count > 1) {
            fprintf(out, ", the last at %.3f s", (double)e->last_at_ns / 1e9);
        }
        if (*detail != '\0') {
            fprintf(out, " (%s", detail);
            fprintf(out, kinds[k].detail == DETAIL_REASON ? ", 0x%02x)" : ")", (unsigned)e->first_detail);
        }
        fputc('\n', out);
    }
}
