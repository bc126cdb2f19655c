/* What any file can do to the reader of Mosquitto's database: be refused with one line, or show records whose texts keep the rules of MQTT. */
#include <stdlib.h>

#include "codec/topic.h"
#include "engine/import/mosquitto_db.h"

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mosquitto_db db;
    struct mosquitto_db_record record;
    if (!mosquitto_db_open(&db, data, size)) {
        require(db.error[0] != '\0');
        return 0;
    }
    enum mosquitto_db_answer answer;
    while ((answer = mosquitto_db_next(&db, &record)) == MOSQUITTO_DB_GIVES_RECORD) {
        check(&record);
    }
    require((answer == MOSQUITTO_DB_IS_DAMAGED) == (db.error[0] != '\0'));
    return 0;
}
