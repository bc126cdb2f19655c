#include "engine/observe/log_topic.h"

#include "engine/log.h"
#include "engine/route/route.h"

#include <pthread.h>
#include <stdio.h>

struct line {
    uint32_t type;
    char text[LOG_TOPIC_LINE_BYTES];
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct line lines[LOG_TOPIC_LINES];
static uint32_t first, count, dropped;

static void
take_line(uint32_t type, const char *text)
{
    pthread_mutex_lock(&mutex);
    if (count == LOG_TOPIC_LINES) {
        dropped++;
    } else {
        struct line *line = &lines[(first + count++) % LOG_TOPIC_LINES];
        line->type = type;
        snprintf(line->text, sizeof line->text, "%s", text);
    }
    pthread_mutex_unlock(&mutex);
}

static bool
pop_line(struct line *out, uint32_t *lost)
{
    pthread_mutex_lock(&mutex);
    bool any = count > 0;
    if (any) {
        *out = lines[first];
        first = (first + 1) % LOG_TOPIC_LINES;
        count--;
    }
    *lost = count == 0 ? dropped : 0;
    dropped -= *lost;
    pthread_mutex_unlock(&mutex);
    return any;
}

/* Mosquitto's names. */
static const char *
topic_of(uint32_t type)
{
    switch (type) {
    case CONFIG_LOG_ERROR:
        return "$SYS/broker/log/E";
    case CONFIG_LOG_WARNING:
        return "$SYS/broker/log/W";
    case CONFIG_LOG_NOTICE:
        return "$SYS/broker/log/N";
    case CONFIG_LOG_SUBSCRIBE:
        return "$SYS/broker/log/M/subscribe";
    case CONFIG_LOG_UNSUBSCRIBE:
        return "$SYS/broker/log/M/unsubscribe";
    default:
        return "$SYS/broker/log/I";
    }
}

static void
publish_line(struct shard *shard, uint32_t type, const char *text)
{
    const char *topic = topic_of(type);
    struct publication p;
    publication_init(&p);
    p.topic = bytes_of(topic, (uint32_t)strlen(topic));
    p.payload = bytes_of(text, (uint32_t)strlen(text));
    p.qos = 2;
    route_publication(shard, &p, NULL);
    publication_fini(shard, &p);
}

void
log_topic_open(void)
{
    log_set_topic_sink(take_line);
}

void
log_topic_publish(struct shard *shard)
{
    struct line line;
    uint32_t lost;
    while (pop_line(&line, &lost)) {
        publish_line(shard, line.type, line.text);
        if (lost > 0) {
            char text[64];
            snprintf(text, sizeof text, "%u log lines did not fit", lost);
            publish_line(shard, CONFIG_LOG_WARNING, text);
        }
    }
}
