#include "engine/stats.h"

#include <assert.h>

const char *
stats_drop_name(enum drop_reason reason)
{
    static const char *const names[DROP_REASONS] = {
        [DROP_OUTPUT_FULL] = "output full",
        [DROP_QUEUE_FULL] = "queue full",
        [DROP_MEMORY] = "memory",
        [DROP_EXPIRED] = "expired",
        [DROP_TOO_LARGE] = "too large",
        [DROP_SESSION_ENDED] = "session ended",
        [DROP_OFFLINE_QOS0] = "offline qos0",
        [DROP_SHARE_EMPTY] = "share empty",
        [DROP_PAGE_LOST] = "page lost",
        [DROP_RETAINED_LIMIT] = "retained limit",
        [DROP_CONNECTION_LIMIT] = "connection limit",
        [DROP_CONNECT_TIMEOUT] = "connect timeout",
        [DROP_BAD_INPUT] = "bad input",
        [DROP_ACCEPT_FAILED] = "accept failed",
        [DROP_SUBSCRIPTION_LIMIT] = "subscription limit",
        [DROP_KEEP_ALIVE] = "keep-alive",
        [DROP_PUBLISH_DENIED] = "publish denied",
        [DROP_SUBSCRIBE_DENIED] = "subscribe denied",
        [DROP_DELIVERY_DENIED] = "delivery denied",
        [DROP_WORK_FULL] = "work full",
        [DROP_LOGIN_REFUSED] = "login refused",
        [DROP_PROXY_HEADER] = "proxy header",
        [DROP_WEBSOCKET_UPGRADE] = "websocket upgrade",
        [DROP_WEBSOCKET_FRAME] = "websocket frame",
        [DROP_TLS_HANDSHAKE] = "tls handshake",
        [DROP_TLS_CERTIFICATE] = "tls certificate",
        [DROP_TLS_RECORD] = "tls record",
        [DROP_TOKEN_REFUSED] = "token refused",
        [DROP_HOOK_DENIED] = "hook denied",
        [DROP_HOOK_FAILED] = "hook failed",
        [DROP_LOGIN_EXPIRED] = "login expired",
        [DROP_CONNECT_RATE] = "connect rate",
        [DROP_ADDRESS_CONNECT_RATE] = "address connect rate",
        [DROP_ADDRESS_CONNECTIONS] = "address connections",
        [DROP_PUBLISH_RATE] = "publish rate",
        [DROP_BANNED] = "banned",
        [DROP_WORK_LATE] = "work late",
        [DROP_DISK_FULL] = "disk full",
    };
    assert(reason < DROP_REASONS);
    return names[reason];
}
