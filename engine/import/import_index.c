#include "engine/import/import_index.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_MIN 64u

void
import_index_init(struct import_index *index)
{
    *index = (struct import_index){0};
}

void
import_index_fini(struct import_index *index)
{
    free(index->clients.things);
    free(index->messages.things);
    free(index->subscriptions.things);
    free(index->received.things);
    import_index_init(index);
}

/* Room for one more, which is counted. NULL once and for all when out of memory. */
static void *
extend(struct import_index *index, struct import_array *array, size_t size)
{
    if (array->count == array->room) {
        size_t room = array->room > 0 ? 2 * array->room : ROOM_MIN;
        void *things = index->out_of_memory ? NULL : realloc(array->things, room * size);
        if (things == NULL) {
            index->out_of_memory = true;
            return NULL;
        }
        array->things = things;
        array->room = room;
    }
    return (char *)array->things + array->count++ * size;
}

void
import_index_add_client(struct import_index *index, struct bytes client_id)
{
    struct import_client *client = extend(index, &index->clients, sizeof *client);
    if (client != NULL) {
        *client = (struct import_client){.client_id = client_id, .identity = index->clients.count};
    }
}

void
import_index_add_message(struct import_index *index, const struct import_message *message)
{
    struct import_message *new = extend(index, &index->messages, sizeof *new);
    if (new != NULL) {
        *new = *message;
    }
}

void
import_index_add_subscription(struct import_index *index, const struct mosquitto_db_subscription *s)
{
    struct import_subscription *new = extend(index, &index->subscriptions, sizeof *new);
    if (new != NULL) {
        *new = (struct import_subscription){.is = *s};
    }
}

void
import_index_add_received(struct import_index *index, const uint8_t *at)
{
    const uint8_t **new = extend(index, &index->received, sizeof *new);
    if (new != NULL) {
        *new = at;
    }
}

static int
compare_ids(struct bytes a, struct bytes b)
{
    uint32_t size = a.size < b.size ? a.size : b.size;
    int difference = memcmp(a.data, b.data, size);
    return difference != 0 ? difference : (a.size > b.size) - (a.size < b.size);
}

static int
compare_clients(const void *a, const void *b)
{
    return compare_ids(((const struct import_client *)a)->client_id, ((const struct import_client *)b)->client_id);
}

static int
compare_messages(const void *a, const void *b)
{
    uint64_t x = ((const struct import_message *)a)->id, y = ((const struct import_message *)b)->id;
    return (x > y) - (x < y);
}

static void
sort(struct import_array *array, size_t size, int (*compare)(const void *, const void *))
{
    if (array->count > 0) {
        qsort(array->things, array->count, size, compare);
    }
}

void
import_index_close(struct import_index *index)
{
    sort(&index->clients, sizeof(struct import_client), compare_clients);
    sort(&index->messages, sizeof(struct import_message), compare_messages);
    struct import_subscription *s = index->subscriptions.things;
    for (size_t i = 0; i < index->subscriptions.count; i++) {
        s[i].client = import_index_client(index, s[i].is.client_id);
    }
}

struct import_client *
import_index_client(const struct import_index *index, struct bytes client_id)
{
    struct import_client key = {.client_id = client_id};
    return index->clients.count == 0 ? NULL : bsearch(&key, index->clients.things, index->clients.count, sizeof key, compare_clients);
}

struct import_message *
import_index_message(const struct import_index *index, uint64_t id)
{
    struct import_message key = {.id = id};
    return index->messages.count == 0 ? NULL : bsearch(&key, index->messages.things, index->messages.count, sizeof key, compare_messages);
}
