#include "bench/load/option_rows.h"

#include <assert.h>
#include <string.h>

#include "bench/load/payload.h"

#define ON(s) (1u << SCENARIO_##s)
#define FLOWS (ON(PAIRS) | ON(FANIN) | ON(FANOUT) | ON(SHARED))
#define TASKS (ON(RETAINED) | ON(OFFLINE))
#define HALVES (ON(PUB) | ON(SUB))
#define SILENT (ON(IDLE) | ON(CONN))
#define ALL (FLOWS | TASKS | HALVES | SILENT | ON(CONNSTORM))
/* Where something is published by this program. */
#define PUBLISHING (FLOWS | TASKS | ON(PUB) | ON(CONNSTORM))
#define AT(field) offsetof(struct options, field)

const struct option_row option_rows[] = {
    {"--count", 'c', OPTION_NUMBER, AT(count), 1, OPTIONS_COUNT_MAX, ALL, false},
    {"--publishers", 0, OPTION_NUMBER, AT(publishers), 1, OPTIONS_COUNT_MAX, ON(FANOUT) | ON(SHARED) | ON(RETAINED), false},
    {"--groups", 0, OPTION_NUMBER, AT(groups), 1, 1000, ON(SHARED), false},
    {"--messages", 'L', OPTION_NUMBER, AT(messages), 1, 100000000, TASKS | ON(PUB), false},
    {"--steady", 0, OPTION_NUMBER, AT(steady), 1, 100000, ON(CONNSTORM), false},
    {"--calm", 0, OPTION_TIME, AT(calm_ns), 0, 0, ON(CONNSTORM), false},
    {"--storm-yields", 0, OPTION_FLAG, AT(storm_yields), 0, 0, ON(CONNSTORM), false},
    {"--topic", 't', OPTION_STRING, AT(topic), 0, 0, HALVES, false},
    {"--first", 'n', OPTION_NUMBER, AT(first), 0, 1000000000, HALVES | SILENT, false},
    {"--size", 's', OPTION_NUMBER, AT(size), PAYLOAD_STAMP_SIZE, OPTIONS_SEGMENT_MAX, PUBLISHING, false},
    {"--qos", 'q', OPTION_NUMBER, AT(qos), 0, 2, PUBLISHING | ON(SUB), true},
    {"--subscribe-qos", 0, OPTION_NUMBER, AT(subscribe_qos), 0, 2, FLOWS | TASKS, true},
    {"--retain", 'r', OPTION_FLAG, AT(retain), 0, 0, ON(PUB), true},
    {"--rate", 0, OPTION_NUMBER, AT(rate), 1, 1000000000, FLOWS | ON(PUB) | ON(CONNSTORM), false},
    {"--interval", 'I', OPTION_TIME, AT(interval_ns), 0, 0, FLOWS | ON(PUB) | ON(CONNSTORM), false},
    {"--window", 0, OPTION_NUMBER, AT(window), 1, 1000000000, FLOWS | ON(CONNSTORM), false},
    {"--burst", 0, OPTION_NUMBER, AT(burst), 1, 1000000, FLOWS | ON(PUB), false},
    {"--inflight", 'F', OPTION_NUMBER, AT(inflight), 1, 65535, FLOWS | TASKS | ON(PUB), true},
    {"--raw", 0, OPTION_FLAG, AT(raw), 0, 0, ON(PAIRS) | ON(FANIN) | ON(FANOUT), false},
    {"--scale", 0, OPTION_FRACTION, AT(scale), 0, 0, ALL, false},

    {"--warmup", 0, OPTION_TIME, AT(warmup_ns), 0, 0, FLOWS | HALVES | SILENT | ON(CONNSTORM), false},
    {"--duration", 0, OPTION_TIME, AT(duration_ns), 0, 0, FLOWS | HALVES | SILENT, false},
    {"--stall", 0, OPTION_TIME, AT(stall_ns), 0, 0, ALL, false},

    {"--version", 'V', OPTION_NUMBER, AT(version), 3, 5, ALL, true},
    {"--client-id", 0, OPTION_STRING, AT(client_id), 0, 0, ALL, true},
    {"--user", 'u', OPTION_STRING, AT(user), 0, 0, ALL, true},
    {"--password", 'P', OPTION_STRING, AT(password), 0, 0, ALL, true},
    {"--keep-alive", 'k', OPTION_TIME_S, AT(keep_alive_s), 0, 65535, ALL, true},
    {"--clean-start", 'C', OPTION_BOOL, AT(clean_start), 0, 0, HALVES | SILENT, true},
    {"--session-expiry", 'x', OPTION_TIME_S, AT(session_expiry_s), 0, UINT32_MAX, HALVES | SILENT | ON(OFFLINE), true},
    {"--keep-sessions", 0, OPTION_FLAG, AT(keep_sessions), 0, 0, FLOWS, true},
    {"--connect-rate", 'R', OPTION_NUMBER, AT(connect_rate), 1, 10000000, ALL, false},
    {"--connecting", 0, OPTION_NUMBER, AT(connecting), 1, OPTIONS_COUNT_MAX, ALL, false},

    {"--tls", 0, OPTION_FLAG, AT(tls), 0, 0, ALL, true},
    {"--cafile", 0, OPTION_STRING, AT(cafile), 0, 0, ALL, true},
    {"--insecure", 0, OPTION_FLAG, AT(insecure), 0, 0, ALL, true},
    {"--cert", 0, OPTION_STRING, AT(cert), 0, 0, ALL, true},
    {"--key", 0, OPTION_STRING, AT(key), 0, 0, ALL, true},
    {"--psk", 0, OPTION_STRING, AT(psk), 0, 0, ALL, true},
    {"--psk-identity", 0, OPTION_STRING, AT(psk_identity), 0, 0, ALL, true},
    {"--tls-version", 0, OPTION_STRING, AT(tls_version), 0, 0, ALL, true},
    {"--server-name", 0, OPTION_STRING, AT(server_name), 0, 0, ALL, true},
    {"--resume", 0, OPTION_FLAG, AT(resume), 0, 0, ALL, true},
    {"--websocket", 0, OPTION_FLAG, AT(websocket), 0, 0, ALL, true},
    {"--path", 0, OPTION_STRING, AT(path), 0, 0, ALL, true},

    {"--host", 'h', OPTION_STRING, AT(host), 0, 0, ALL, false},
    {"--port", 'p', OPTION_NUMBER, AT(port), 1, 65535, ALL, false},
    {"--source-addresses", 0, OPTION_NUMBER, AT(source_addresses), 1, 65536, ALL, false},
    {"--threads", 0, OPTION_NUMBER, AT(threads), 1, OPTIONS_WORKERS_MAX, ALL, false},
    {"--processes", 0, OPTION_NUMBER, AT(processes), 1, OPTIONS_WORKERS_MAX, ALL, false},
    {"--pid", 0, OPTION_PIDS, 0, 0, 0, ALL, false},
    {"--json", 0, OPTION_STRING, AT(json), 0, 0, ALL, false},
    {"--html", 0, OPTION_STRING, AT(html), 0, 0, ALL, false},
};

const size_t option_row_count = sizeof option_rows / sizeof option_rows[0];

static_assert(sizeof option_rows / sizeof option_rows[0] <= OPTION_ROWS_MAX, "parsers keep a flag per row");

size_t
option_row_find(const char *word)
{
    size_t name_size = strcspn(word, "=");

    for (size_t i = 0; i < option_row_count; i++) {
        const struct option_row *row = &option_rows[i];
        bool is_name = strlen(row->name) == name_size && strncmp(row->name, word, name_size) == 0;
        bool is_letter = row->letter != 0 && word[0] == '-' && word[1] == row->letter && word[2] == '\0';
        if (is_name || is_letter) {
            return i;
        }
    }
    return option_row_count;
}
