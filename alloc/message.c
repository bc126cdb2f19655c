/*
 * Own bytes follow the struct in one allocation; a borrowed message is the struct alone, and only that is charged: the lender paid for the bytes.
 */
#include "alloc/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *
append(uint8_t *at, struct bytes part)
{
    if (part.size > 0) {
        memcpy(at, part.data, part.size);
    }
    return at + part.size;
}

struct message *
message_make(struct budget_account *account, struct bytes topic, struct bytes properties, struct bytes payload)
{
    assert(topic.size <= UINT16_MAX && properties.size <= UINT32_MAX / 4 && payload.size <= UINT32_MAX / 4);

    struct message *message = malloc(sizeof *message + topic.size + properties.size + payload.size);
    if (message == NULL) {
        return NULL;
    }
    uint8_t *bytes = (uint8_t *)(message + 1);
    append(append(append(bytes, topic), properties), payload);
    *message = (struct message){
        .refs = 1,
        .topic_size = (uint16_t)topic.size,
        .properties_size = (uint32_t)properties.size,
        .payload_size = (uint32_t)payload.size,
        .bytes = bytes,
    };
    budget_charge(account, message_cost(message));
    return message;
}

struct message *
message_borrow(struct budget_account *account, const struct message *lender_image, struct message *lender, uint16_t lender_shard)
{
    assert(lender != NULL);

    struct message *message = malloc(sizeof *message);
    if (message == NULL) {
        return NULL;
    }
    *message = *lender_image;
    message->refs = 1;
    message->queued = 0;
    message->lender = lender;
    message->lender_shard = lender_shard;
    budget_charge(account, sizeof *message);
    return message;
}

bool
message_unref(struct budget_account *account, struct message **messagep, struct message **returned, uint16_t *returned_shard)
{
    struct message *message = *messagep;
    assert(message != NULL && message->refs >= 1); /* A1 */
    *messagep = NULL;

    if (--message->refs > 0) {
        return false;
    }
    bool borrowed = message->lender != NULL;
    if (borrowed) {
        *returned = message->lender;
        *returned_shard = message->lender_shard;
        budget_refund(account, sizeof *message);
    } else {
        budget_refund(account, message_cost(message));
    }
    free(message);
    return borrowed;
}
