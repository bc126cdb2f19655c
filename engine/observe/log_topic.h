/*
 * log_topic: log lines on their way to $SYS/broker/log/... (option log_dest topic).
 *
 * Any thread may log, only shard 0 publishes. So lines wait in a bounded ring under a mutex of its own (never on the message path: a line is a system call
 * anyway), and shard 0 publishes them once a second. A full ring drops the newest lines and says how many.
 */
#ifndef TIDEWIRE_ENGINE_OBSERVE_LOG_TOPIC_H
#define TIDEWIRE_ENGINE_OBSERVE_LOG_TOPIC_H

#include "engine/shard.h"

#define LOG_TOPIC_LINES 256
#define LOG_TOPIC_LINE_BYTES 512

/* Sets the sink (engine/log.h). Before any thread starts. */
void log_topic_open(void);
/* By shard 0, once a second. */
void log_topic_publish(struct shard *shard);

#endif
