/* Until the journal and promises are there: shard->journal is NULL, and nothing here is ever called. */
#include "engine/durable/promise.h"
#include "engine/journal/journal.h"

#include <stdlib.h>

uint64_t journal_append(struct journal *journal, uint8_t type, uint32_t size, uint8_t **content) { (void)journal; (void)type; (void)size; (void)content; abort(); }
uint8_t *journal_waiting(struct journal *journal, uint64_t position, uint32_t *size) { (void)journal; (void)position; (void)size; abort(); }
void journal_void(struct journal *journal, uint64_t position) { (void)journal; (void)position; abort(); }
uint64_t journal_end(const struct journal *journal) { (void)journal; abort(); }
uint64_t journal_backlog(const struct journal *journal) { (void)journal; abort(); }
enum journal_room journal_room(const struct journal *journal) { (void)journal; abort(); }
void journal_submit(struct journal *journal, uint64_t now_ms) { (void)journal; (void)now_ms; abort(); }
uint64_t journal_next_ms(const struct journal *journal) { (void)journal; abort(); }
bool journal_event(struct journal *journal, const struct io_event *event) { (void)journal; (void)event; abort(); }
void promise_send(struct shard *shard, struct session *session, const struct delivery *delivery) { (void)shard; (void)session; (void)delivery; abort(); }
void promise_release(struct shard *shard, struct session *session, const struct delivery *delivery) { (void)shard; (void)session; (void)delivery; abort(); }
void promise_keep(struct shard *shard) { (void)shard; abort(); }
