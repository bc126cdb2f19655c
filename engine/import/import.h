/*
 * import: a database of Mosquitto's (engine/import/mosquitto_db.h) as records of a journal (engine/durable/entry.h): sessions, subscriptions, retained messages, and what is owed in
 * both directions.
 *
 *   first pass    the whole file is read: what is damaged is found before anything is written
 *   second pass   every session, subscription and message is shown as a record, once
 *
 * What is different there:
 *   - Mosquitto passes a QoS 2 message on when it is released (PUBREL), Tidewire when it comes. So one that was received and not released is routed here, to the sessions in the
 *     file, and its identifier is remembered: PUBREL finds it done.
 *   - Messages with QoS 0 that are owed (queue_qos0_messages) are left out: they would not outlive a restart here either.
 *   - The user name of a client that has none may be that of another one in the file (Mosquitto before 2.1). So names are taken over only where the configuration has no anonymous
 *     clients; else what a session may be sent before its client comes back is what anonymous ones may.
 *
 * Threads  one. Memory: import_index.h, and one record.
 */
#ifndef TIDEWIRE_ENGINE_IMPORT_IMPORT_H
#define TIDEWIRE_ENGINE_IMPORT_IMPORT_H

#include "engine/config/config.h"
#include "engine/import/import_index.h"

struct import_counts {
    uint64_t sessions, subscriptions, retained, owed, received;
    uint64_t expired_sessions, expired_messages;
    uint64_t qos0;     /* owed with QoS 0 */
    uint64_t too_deep; /* topics and filters with more levels than the broker has */
    uint64_t unknown;  /* of sessions or messages that are not in the file; and chunks of kinds that nobody knows */
};

struct import {
    const struct config *config; /* listeners, persistent_client_expiration, whether anonymous clients are let in */
    uint64_t now_ms;             /* wall clock */
    void (*put)(void *context, uint8_t type, struct bytes content); /* a record, in order; borrowed */
    void *context;

    struct import_counts counts; /* what came of it */
};

/* False, with one line in `error`: damage, or no memory. Nothing was put if the file is damaged. */
bool import_run(struct import *import, const void *data, size_t size, char *error, size_t error_size);

#endif
