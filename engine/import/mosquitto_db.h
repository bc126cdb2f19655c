/*
 * mosquitto_db: what is in a mosquitto.db, chunk by chunk: the file in which Mosquitto keeps sessions, retained messages and what is owed.
 *
 *   magic, CRC (always 0), version | kind, size, content | kind, size, content | ...
 *
 * Lengths and packet identifiers are big-endian; what Mosquitto writes as 64-bit numbers is in the order of its machine, and taken as little-endian. Versions 5 (Mosquitto 1.6)
 * and 6 (2.0 and later) are read; older ones are refused, as any Mosquitto of these reads them and writes them anew.
 *
 * Invariants
 *   D1  whatever the bytes are, reading them is safe; texts that MQTT has rules for (client identifiers, topics, properties) keep them in every record that is shown.
 *   D2  a message comes before what speaks of it, as Mosquitto writes it.
 *
 * Threads  none of this is shared. Memory: records borrow from the file.
 */
#ifndef TIDEWIRE_ENGINE_IMPORT_MOSQUITTO_DB_H
#define TIDEWIRE_ENGINE_IMPORT_MOSQUITTO_DB_H

#include "codec/packet.h"

#include <stdbool.h>
#include <stddef.h>

/* Session Expiry Interval of a session that does not end. */
#define MOSQUITTO_DB_NEVER UINT32_MAX

enum mosquitto_db_kind { /* as in the file */
    MOSQUITTO_DB_SETTINGS = 1,
    MOSQUITTO_DB_MESSAGE = 2,
    MOSQUITTO_DB_OWED = 3,
    MOSQUITTO_DB_RETAINED = 4,
    MOSQUITTO_DB_SUBSCRIPTION = 5,
    MOSQUITTO_DB_CLIENT = 6,
};

/* A message that is retained, or owed to somebody; once in the file. */
struct mosquitto_db_message {
    uint64_t id;
    int64_t expires_s;          /* since 1970; 0: never */
    struct bytes publisher;     /* client identifier; empty: Mosquitto itself */
    struct bytes user;          /* of the publisher; empty: none */
    struct bytes topic, payload;
    struct properties properties;
    uint16_t packet_id;         /* that it came with */
    uint8_t qos;
    bool retain;
};

enum mosquitto_db_state {
    MOSQUITTO_DB_QUEUED,        /* not sent yet */
    MOSQUITTO_DB_SENT,          /* PUBLISH was sent, and is not answered */
    MOSQUITTO_DB_RELEASED,      /* PUBREC has come, PUBCOMP has not */
    MOSQUITTO_DB_RECEIVED,      /* from the client: PUBREC was sent, and PUBREL has not come. Mosquitto passes it on only then */
    MOSQUITTO_DB_UNANSWERED,    /* from the client: it will send it again */
    MOSQUITTO_DB_COMPLETED,     /* from the client: passed on; it will send PUBREL again */
};

/* A message and a client: owed to it, or received from it. */
struct mosquitto_db_owed {
    uint64_t message;           /* its id */
    struct bytes client_id;
    struct properties properties; /* subscription identifiers */
    uint16_t packet_id;
    uint8_t qos;
    uint8_t state;              /* enum mosquitto_db_state */
    bool retain;
};

struct mosquitto_db_client {
    struct bytes client_id;
    struct bytes user;          /* empty: none, or a file of version 5 */
    int64_t expires_s;          /* since 1970; 0: not known */
    uint32_t expiry_s;          /* Session Expiry Interval */
    uint16_t port;              /* of its listener; 0: not known */
};

struct mosquitto_db_subscription {
    struct bytes client_id;
    struct bytes filter;
    uint32_t identifier;        /* 0: none */
    uint8_t qos;
    bool no_local, retain_as_published;
};

struct mosquitto_db_record {
    uint8_t kind;               /* enum mosquitto_db_kind, never MOSQUITTO_DB_SETTINGS */
    union {
        struct mosquitto_db_message message;
        struct mosquitto_db_owed owed;
        struct mosquitto_db_client client;
        struct mosquitto_db_subscription subscription;
        uint64_t retained;      /* id of the message */
    };
};

struct mosquitto_db {
    const uint8_t *begin, *at, *end;
    uint32_t version;
    uint64_t skipped;           /* chunks of a kind that nobody knows */
    char error[160];
};

/* False, with a line in `error`, if the file is none of these. */
bool mosquitto_db_open(struct mosquitto_db *db, const void *data, size_t size);

enum mosquitto_db_answer {
    MOSQUITTO_DB_GIVES_RECORD,
    MOSQUITTO_DB_ENDS,
    MOSQUITTO_DB_IS_DAMAGED,    /* `error` says where, and how; nothing more can be read */
};

enum mosquitto_db_answer mosquitto_db_next(struct mosquitto_db *db, struct mosquitto_db_record *record);

#endif
