/*
 * What any file can do to the reader of Mosquitto's database: be refused with one line, or show records whose texts keep the rules of MQTT, and become records of a journal that can
 * be read.
 */
#include <stdlib.h>

#include "codec/topic.h"
#include "engine/durable/entry.h"
#include "engine/import/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void
check(const struct mosquitto_db_record *r)
{
    struct topic_filter filter;
    switch (r->kind) {
    case MOSQUITTO_DB_MESSAGE: require(topic_name_check(r->message.topic, UINT16_MAX) && r->message.qos <= 2); break;
    case MOSQUITTO_DB_OWED: require(r->owed.client_id.size > 0 && utf8_check(r->owed.client_id) && r->owed.state <= MOSQUITTO_DB_COMPLETED); break;
    case MOSQUITTO_DB_SUBSCRIPTION: require(topic_filter_parse(r->subscription.filter, UINT16_MAX, &filter) && r->subscription.client_id.size > 0); break;
    case MOSQUITTO_DB_CLIENT: require(r->client.client_id.size > 0 && utf8_check(r->client.client_id)); break;
    default: require(r->kind == MOSQUITTO_DB_RETAINED);
    }
}

static void
check_record(void *context, uint8_t type, struct bytes content)
{
    union {
        struct entry_session session;
        struct entry_subscription subscription;
        struct entry_message message;
        struct entry_received received;
        struct entry_retain_removed removed;
    } e;
    uint32_t count;
    struct bytes deliveries;
    (void)context;
    switch (type) {
    case ENTRY_SESSION: require(entry_read_session(content, &e.session)); break;
    case ENTRY_SUBSCRIPTION: require(entry_read_subscription(content, &e.subscription)); break;
    case ENTRY_MESSAGE: require(entry_read_message(content, &e.message) && (e.message.keep_retained || e.message.delivery_count > 0)); break;
    case ENTRY_DELIVERIES: require(entry_read_deliveries(content, &count, &deliveries)); break;
    case ENTRY_RECEIVED: require(entry_read_received(content, &e.received)); break;
    default: require(type == ENTRY_RETAIN_REMOVED && entry_read_retain_removed(content, &e.removed));
    }
}

static void
convert(const uint8_t *data, size_t size, bool good)
{
    struct config *config = config_default();
    struct import import = {.config = config, .now_ms = UINT64_C(1795651500000), .put = check_record};
    char error[200] = "";
    require(config != NULL && import_run(&import, data, size, error, sizeof error) == good);
    require(good == (error[0] == '\0'));
    config_free(&config);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mosquitto_db db;
    struct mosquitto_db_record record;
    if (!mosquitto_db_open(&db, data, size)) {
        require(db.error[0] != '\0');
        convert(data, size, false);
        return 0;
    }
    enum mosquitto_db_answer answer;
    while ((answer = mosquitto_db_next(&db, &record)) == MOSQUITTO_DB_GIVES_RECORD) {
        check(&record);
    }
    require((answer == MOSQUITTO_DB_IS_DAMAGED) == (db.error[0] != '\0'));
    convert(data, size, answer == MOSQUITTO_DB_ENDS);
    return 0;
}
